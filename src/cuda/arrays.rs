//! Atoms and results as a caller hands them over.

use nepal_core::backend::Request;
use nepal_core::error::{Error, Result};
use nepal_core::system::Cell;

/// An array of the caller's on the device: number `c` of atom `i` is at `strides[0] * i + strides[1] * c`,
/// counted in its numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strided {
    /// Address on the device; 0 for none.
    pub address: u64,
    /// Distance from atom to atom, and from number to number.
    pub strides: [usize; 2],
}

/// The full neighbour list of a host code on the device: of the local atoms, among them and ghosts.
#[derive(Clone, Copy, Debug)]
pub struct DeviceList {
    /// How many of the atoms, the last ones, are ghosts.
    pub n_ghosts: usize,
    /// Numbers of neighbours, 32-bit integers. Shape `[n_local]`.
    pub counts: u64,
    /// The neighbours of each local atom, 32-bit integers.
    pub neighbors: Strided,
    /// Bits of an entry that are the neighbour's index.
    pub mask: u32,
    /// A number of the list's own: where it is that of the last call, list and types are as they were. 0 for none.
    pub generation: u64,
}

/// Atoms on the device, all of them local unless there is a list.
#[derive(Clone, Copy, Debug)]
pub struct DeviceAtoms<'a> {
    /// Number of atoms.
    pub n_atoms: usize,
    /// Positions in Å, three for each atom.
    pub positions: Strided,
    /// Types, 32-bit integers. Shape `[n_atoms]`.
    pub types: u64,
    /// The model's type of each of the caller's, if those are others.
    pub type_map: Option<&'a [i32]>,
    /// The neighbours, if they are not to be found here.
    pub list: Option<DeviceList>,
    /// Whether types may differ from those of the last call.
    pub new_types: bool,
    /// Whether the device shall look if they do, which the host waits for.
    pub compare_types: bool,
    /// Whether the caller knows that no atom has moved by 0.3 Å since its last call without this. The
    /// device then is not asked, where that is enough: where lists were made at that call, and the cell is
    /// as it was.
    pub still: bool,
    /// Whether the host shall go on without what it can hear later: how far atoms moved, which it then
    /// knows from the call before, and which grades are within rounding of the threshold. See
    /// [`Cuda::finish`](crate::Cuda::finish).
    pub ahead: bool,
    /// Cell, with the directions that are periodic.
    pub cell: &'a Cell,
    /// The caller's stream (`CUstream`), null for the default one: positions are ready in its order, and
    /// results are.
    pub stream: *mut std::ffi::c_void,
}

/// Where results go on the device; an address of 0 for what is not wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceResults {
    /// Energies in eV, shape `[n_local]`.
    pub energies: u64,
    /// Forces in eV/Å, three for each atom.
    pub forces: Strided,
    /// Virials in eV, nine for each atom.
    pub virials: Strided,
    /// Whether a row of virials is xx yy zz xy xz yz yx zx zy instead of the rows of the matrix.
    pub diagonal_first: bool,
    /// Whether energies, forces and virials are added to what is there.
    pub adding: bool,
    /// The sum of the energies in eV, one number, which is not added to anything.
    pub total_energy: u64,
    /// The sum of the virials in eV, nine numbers, which are not added to anything.
    pub total_virial: u64,
    /// γ, ρ and Γ, shape `[n_local]`.
    pub gamma: u64,
    /// See `gamma`.
    pub rho: u64,
    /// See `gamma`.
    pub grade: u64,
    /// Charges in e, shape `[n_local]`, which like what follows are not added to anything.
    pub charges: u64,
    /// Born effective charges in e, shape `[n_atoms][9]`.
    pub born_charges: u64,
    /// The dipole moment, three numbers.
    pub dipole: u64,
    /// Shares of each atom in it, shape `[n_atoms][3]`.
    pub dipoles: u64,
    /// The polarizability, nine numbers.
    pub polarizability: u64,
    /// Shares of each atom in it, shape `[n_atoms][9]`.
    pub polarizabilities: u64,
    /// Where the largest Γ goes, on the host, which waits for it; 0 if it is not wanted.
    pub largest: u64,
}

impl DeviceAtoms<'_> {
    /// How many of the atoms carry energy.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for more ghosts than atoms.
    pub(super) fn n_local(&self) -> Result<usize> {
        let ghosts = self.list.map_or(0, |list| list.n_ghosts);
        self.n_atoms.checked_sub(ghosts).ok_or_else(|| {
            Error::invalid(format!(
                "{ghosts} of {} atoms are ghosts; expected no more than there are",
                self.n_atoms
            ))
        })
    }
}

impl DeviceResults {
    pub(super) fn grades(&self) -> bool {
        [self.gamma, self.rho, self.grade, self.largest] != [0; 4]
    }

    /// What has to be computed.
    pub(super) fn request(&self) -> Request {
        let of = [
            (Request::FORCES, self.forces.address),
            (Request::VIRIALS, self.virials.address),
            (Request::VIRIAL, self.total_virial),
            (Request::CHARGES, self.charges),
            (Request::BORN_CHARGES, self.born_charges),
            (Request::DIPOLE, self.dipole | self.dipoles),
            (
                Request::POLARIZABILITY,
                self.polarizability | self.polarizabilities,
            ),
        ];
        let wanted = of.into_iter().filter(|(_, address)| *address != 0);
        let mut request: Request = wanted.map(|(part, _)| part).collect();
        let without = request.is_empty() && self.energies | self.total_energy == 0;
        request.set(Request::WITHOUT_ENERGIES, without);
        request.set(Request::GRADES, self.grades());
        request
    }
}
