//! What a model predicts: an energy, with which heads beside it, or a tensor.

use super::header::Version;

/// How the charges of a model interact; the number in GPUMD's words `charge1` to `charge3`.
///
/// **Source**: Fan et al., qNEP (2025); the width of the Gaussians is α = π / radial cutoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Electrostatics {
    /// Ewald sum: reciprocal space, screened pairs in real space, no self-interaction.
    Full,
    /// Reciprocal space only, self-interaction kept.
    Reciprocal,
    /// Screened pairs in real space only, shifted so that energy and force end at the cutoff.
    RealSpace,
}

/// What a model predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The energy of short-range interactions.
    #[default]
    Potential,
    /// The same, and charges that interact (qNEP).
    Charges(Electrostatics),
    /// The same, and C6 coefficients that interact.
    Dispersion,
    /// Charges, in reciprocal space only, and C6 coefficients.
    ChargesAndDispersion,
    /// A free energy: the temperature is an input.
    Temperature,
    /// The dipole moment (TNEP).
    Dipole,
    /// The polarizability or another symmetric tensor of second rank (TNEP).
    Polarizability,
}

impl Kind {
    /// All kinds, in the order of messages.
    pub const ALL: [Self; 9] = [
        Self::Potential,
        Self::Charges(Electrostatics::Full),
        Self::Charges(Electrostatics::Reciprocal),
        Self::Charges(Electrostatics::RealSpace),
        Self::Dispersion,
        Self::ChargesAndDispersion,
        Self::Temperature,
        Self::Dipole,
        Self::Polarizability,
    ];

    /// What stands behind the version, and `_zbl`, in the first word of the file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Potential => "",
            Self::Charges(Electrostatics::Full) => "_charge1",
            Self::Charges(Electrostatics::Reciprocal) => "_charge2",
            Self::Charges(Electrostatics::RealSpace) => "_charge3",
            Self::Dispersion => "_vdw",
            Self::ChargesAndDispersion => "_charge_vdw",
            Self::Temperature => "_temperature",
            Self::Dipole => "_dipole",
            Self::Polarizability => "_polarizability",
        }
    }

    /// Whether GPUMD or NEP_CPU know this kind in a version, with or without ZBL.
    pub fn exists(self, version: Version, zbl: bool) -> bool {
        match self {
            Self::Potential => true,
            Self::Dipole | Self::Polarizability => version != Version::Nep5 && !zbl,
            _ => version == Version::Nep4,
        }
    }

    /// How charges interact, if the model has them.
    pub fn electrostatics(self) -> Option<Electrostatics> {
        match self {
            Self::Charges(how) => Some(how),
            Self::ChargesAndDispersion => Some(Electrostatics::Reciprocal),
            _ => None,
        }
    }

    /// Whether atoms have C6 coefficients.
    pub fn has_dispersion(self) -> bool {
        matches!(self, Self::Dispersion | Self::ChargesAndDispersion)
    }

    /// Whether atoms interact beyond the cutoff or through sums over all atoms.
    pub fn is_long_ranged(self) -> bool {
        self.electrostatics().is_some() || self.has_dispersion()
    }

    /// Whether the model predicts a tensor and no energy.
    pub fn is_tensor(self) -> bool {
        matches!(self, Self::Dipole | Self::Polarizability)
    }

    /// What the model predicts, in a word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Potential => "energies",
            Self::Charges(_) => "energies with charges",
            Self::Dispersion => "energies with dispersion",
            Self::ChargesAndDispersion => "energies with charges and dispersion",
            Self::Temperature => "free energies at a temperature",
            Self::Dipole => "dipole moments",
            Self::Polarizability => "polarizabilities",
        }
    }
}
