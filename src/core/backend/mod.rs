//! Where a model is evaluated: one trait, and the machines that are always there.
//!
//! [`mod@reference`] is plain f64, written to be read, the truth; [`cpu`] is threaded. Other crates bring
//! more. A backend knows nothing of grades, fragments or files.

mod conditions;
pub mod d3;
pub mod reference;
mod whole;

#[cfg(feature = "cpu")]
pub mod cpu;

pub use conditions::{Conditions, Dispersion, Sums, available, check_long_range, check_request};
pub use whole::{Peers, Whole};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::system::{Cell, NeighborList};

bitflags::bitflags! {
    /// What to compute besides the energies, which always are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Request: u32 {
        /// Forces on all atoms, ghosts included.
        const FORCES = 1 << 0;
        /// Total virial.
        const VIRIAL = 1 << 1;
        /// Virial of each atom, ghosts included.
        const VIRIALS = 1 << 2;
        /// Scaled descriptors of the local atoms.
        const DESCRIPTORS = 1 << 3;
        /// B projections of the local atoms: the gradient of the atom's energy with respect to its
        /// network's parameters, the features of the extrapolation grade.
        const PROJECTIONS = 1 << 4;
        /// Extrapolation grades; needs an active set. Filled by the calculator: a backend that can
        /// grade keeps what it needs for that.
        const GRADES = 1 << 5;
        /// Hidden neurons of the local atoms, which the energies need anyway: the features of the
        /// last layer, and with the descriptors all that the projections are made of.
        const NEURONS = 1 << 6;
        /// Charges of the local atoms, of models that have them.
        const CHARGES = 1 << 16;
        /// Born effective charges of the local atoms, of models with charges.
        const BORN_CHARGES = 1 << 17;
        /// Dipole moment, whole and per atom, of models of it.
        const DIPOLE = 1 << 18;
        /// Polarizability, whole and per atom, of models of it.
        const POLARIZABILITY = 1 << 19;
        /// Deviations of the forces on the local atoms; needs a posterior. Filled by the calculator.
        const SIGMA = 1 << 20;
        /// Deviations of the energies of the local atoms and of their sum; needs a posterior. Filled by the
        /// calculator.
        const SIGMA_ENERGIES = 1 << 21;
        /// Energies are not wanted: those that take more than the short range are left out.
        const WITHOUT_ENERGIES = 1 << 22;
    }
}

/// Atoms as a backend sees them.
///
/// The first `neighbors.len()` atoms are local: they are centres and carry energy. The others are
/// ghosts of a host code: neighbours only, on which forces are accumulated.
#[derive(Clone, Copy, Debug)]
pub struct System<'a> {
    /// Cell that the translations in `neighbors` refer to.
    pub cell: &'a Cell,
    /// Positions in Å, locals first. Shape `[n_total]`.
    pub positions: &'a [[f64; 3]],
    /// Type (0-based index into the model's elements) of each atom. Shape `[n_total]`.
    pub types: &'a [u32],
    /// Full neighbour list of the local atoms, with at least all neighbours inside the model's cutoff.
    pub neighbors: &'a NeighborList,
    /// What the atoms are a part of, if these are a host's.
    pub whole: Option<Whole<'a>>,
}

impl System<'_> {
    /// Number of atoms that carry energy.
    pub fn n_local(&self) -> usize {
        self.neighbors.len()
    }

    /// Number of atoms, ghosts included.
    pub fn n_total(&self) -> usize {
        self.positions.len()
    }

    /// Checks lengths and types against the model.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the array that does not fit.
    pub fn validate(&self, model: &Model) -> Result<()> {
        check_types(model, self.types, self.n_total())?;
        if self.n_local() > self.n_total() {
            return Err(Error::invalid(format!(
                "the neighbour list has {} centres but there are {} atoms",
                self.n_local(),
                self.n_total()
            )));
        }
        Ok(())
    }
}

/// Atoms without a neighbour list, all of them local.
#[derive(Clone, Copy, Debug)]
pub struct Atoms<'a> {
    /// Cell, with the directions that are periodic.
    pub cell: &'a Cell,
    /// Positions in Å. Shape `[n_atoms]`.
    pub positions: &'a [[f64; 3]],
    /// Type (0-based index into the model's elements) of each atom. Shape `[n_atoms]`.
    pub types: &'a [u32],
}

/// Results of one evaluation. Buffers are reused between calls; those that were not asked for are
/// empty.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Sum of the local atoms' energies, eV.
    pub energy: f64,
    /// Energy of each local atom, eV; empty of a model of a tensor. Shape `[n_local]`.
    pub energies: Vec<f64>,
    /// Forces in eV/Å. Shape `[n_total]`.
    pub forces: Vec<[f64; 3]>,
    /// Total virial in eV, `xx xy xz yx yy yz zx zy zz`, `-dE/d(strain)`.
    pub virial: [f64; 9],
    /// Virial of each atom in eV, attributed to the neighbour of each pair (the form that gives
    /// the heat current); not symmetric. Shape `[n_total]`.
    pub virials: Vec<[f64; 9]>,
    /// Scaled descriptors. Shape `[n_local][dim]`.
    pub descriptors: Vec<f64>,
    /// B projections. Shape `[n_local][neurons * (dim + 2)]`.
    pub projections: Vec<f64>,
    /// Hidden neurons, tanh(w0·q - b0) of the first layer. Shape `[n_local][neurons]`.
    pub neurons: Vec<f64>,
    /// Extrapolation grade γ of each local atom. Shape `[n_local]`.
    pub gamma: Vec<f64>,
    /// Residual ρ of each local atom, NaN where the active set has none. Shape `[n_local]`.
    pub rho: Vec<f64>,
    /// Reported grade Γ: √(γ² + ρ²) in the ridge form, γ in the
    /// compatibility form. Shape `[n_local]`.
    pub grade: Vec<f64>,
    /// Charge of each local atom, e; they add up to [`Conditions::charge`]. Shape `[n_local]`.
    pub charges: Vec<f64>,
    /// Born effective charge of each local atom, e, `xx xy xz yx yy yz zx zy zz`, first the direction
    /// of the polarization. Shape `[n_local]`.
    pub born_charges: Vec<[f64; 9]>,
    /// Dipole moment, in the unit of the training data.
    pub dipole: [f64; 3],
    /// Share of each atom, attributed to the neighbour of each pair. Shape `[n_total]`.
    pub dipoles: Vec<[f64; 3]>,
    /// Polarizability, `xx xy xz yx yy yz zx zy zz`, in the unit of the training data.
    pub polarizability: [f64; 9],
    /// Share of each atom, attributed as dipoles are; not symmetric. Shape `[n_total]`.
    pub polarizabilities: Vec<[f64; 9]>,
    /// σ of each local atom's force, which 68 % of the errors do not exceed, eV/Å. Shape `[n_local]`.
    pub sigma: Vec<f64>,
    /// σ of each local atom's energy, eV. Shape `[n_local]`.
    pub sigma_energies: Vec<f64>,
    /// σ of the sum of the local atoms' energies, which 68 % of the errors do not exceed, eV.
    pub sigma_energy: f64,
}

/// The gradient of a scalar Φ of the descriptors, carried to positions and strain.
#[derive(Clone, Debug, Default)]
pub struct Contraction {
    /// `-dΦ/dr` for all atoms, ghosts included. Shape `[n_total]`.
    pub forces: Vec<[f64; 3]>,
    /// `-dΦ/d(strain)`, `xx xy xz yx yy yz zx zy zz`.
    pub virial: [f64; 9],
}

/// Checks types against the model.
///
/// **Errors**: [`Error::InvalidArgument`] naming the first atom that does not fit.
pub fn check_types(model: &Model, types: &[u32], n_total: usize) -> Result<()> {
    if types.len() != n_total {
        return Err(Error::invalid(format!(
            "{} types were given for {n_total} atoms",
            types.len()
        )));
    }
    let n_types = model.elements().len();
    match types.iter().position(|&t| t as usize >= n_types) {
        None => Ok(()),
        Some(atom) => Err(Error::invalid(format!(
            "atom {atom} has type {}; the model has the types 0 to {}",
            types[atom],
            n_types - 1
        ))),
    }
}

/// A machine that evaluates models.
pub trait Backend: Send {
    /// Name as the user knows it: `reference`, `cpu`, `cuda`.
    fn name(&self) -> &'static str;

    /// The numbers it computes with.
    fn precision(&self) -> Precision {
        Precision::F64
    }

    /// What the next calls give a model besides atoms; a backend that knows no model with a use for it
    /// forgets it.
    fn set_conditions(&mut self, _conditions: Conditions) {}

    /// Evaluates energies and what `request` asks for (but grades).
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a system that does not fit the model,
    /// [`Error::Unsupported`] for what the model or the backend cannot give, [`Error::Backend`] when
    /// the machine fails.
    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()>;

    /// Carries `dΦ/dq` of the scaled descriptors to positions and strain: the ordinary force
    /// routine with `dΦ/dq` in place of `dE/dq` (`spec` of the grade gradient: Φ any scalar).
    ///
    /// **Shapes**: `gradient` `[n_local][dim]`. **Errors**: as [`Backend::evaluate`].
    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()>;

    /// Whether it finds neighbours itself, so that [`Backend::evaluate_atoms`] and
    /// [`Backend::contract_atoms`] do what their namesakes do with a list.
    fn finds_neighbors(&self) -> bool {
        false
    }

    /// [`Backend::evaluate`] for atoms that are all local, whose neighbours the backend finds.
    ///
    /// **Errors**: as [`Backend::evaluate`]; [`Error::Unsupported`] if it finds none.
    fn evaluate_atoms(
        &mut self,
        _model: &Model,
        _atoms: &Atoms<'_>,
        _request: Request,
        _out: &mut Evaluation,
    ) -> Result<()> {
        Err(no_neighbors(self.name()))
    }

    /// [`Backend::contract`] for atoms that are all local, whose neighbours the backend finds.
    ///
    /// **Errors**: as [`Backend::contract`]; [`Error::Unsupported`] if it finds none.
    fn contract_atoms(
        &mut self,
        _model: &Model,
        _atoms: &Atoms<'_>,
        _gradient: &[f64],
        _out: &mut Contraction,
    ) -> Result<()> {
        Err(no_neighbors(self.name()))
    }
}

fn no_neighbors(name: &str) -> Error {
    Error::Unsupported(format!(
        "the {name} backend finds no neighbours; give it a list"
    ))
}

/// Which numbers the work on pairs is done in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f64 throughout.
    #[default]
    F64,
    /// Positions subtracted and results summed in f64, the work on pairs and neurons in f32.
    Mixed,
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f64" => Ok(Self::F64),
            "mixed" => Ok(Self::Mixed),
            other => Err(Error::invalid(format!(
                "unknown precision {other:?}; expected f64 or mixed"
            ))),
        }
    }
}
