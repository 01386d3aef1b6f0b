//! What a name says about a label.

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Energy,
    Forces,
    Virial,
    Stress,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Energy, Kind::Forces, Kind::Virial, Kind::Stress];

/// How sure a name is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A label of the reference method.
    Sure,
    /// Something of the kind.
    Like,
    /// A name so short that it is told only where the label is missing.
    Short,
}

/// Words beside `energy`, `forces` ... that say "of the reference method".
const REFERENCE: [&str; 20] = [
    "ref",
    "reference",
    "dft",
    "qm",
    "target",
    "label",
    "true",
    "abinitio",
    "vasp",
    "cp2k",
    "qe",
    "espresso",
    "aims",
    "castep",
    "abinit",
    "gpaw",
    "siesta",
    "orca",
    "total",
    "free",
];
/// Words that make it something else than a label.
const OTHERS: [&str; 27] = [
    "weight",
    "std",
    "error",
    "err",
    "uncertainty",
    "variance",
    "var",
    "cutoff",
    "baseline",
    "config",
    "mask",
    "unit",
    "units",
    "type",
    "kinetic",
    "max",
    "min",
    "rmse",
    "mae",
    "local",
    "atomic",
    "energies",
    "tolerance",
    "before",
    "after",
    "loss",
    "norm",
];

/// What label a name stands for.
pub(super) fn kind_of(name: &str) -> Option<(Kind, Name)> {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    if words.iter().any(|w| OTHERS.contains(w)) {
        return None;
    }
    let of = |word: &str| match word {
        "energy" => Some(Kind::Energy),
        "force" | "forces" => Some(Kind::Forces),
        "virial" | "virials" => Some(Kind::Virial),
        "stress" | "stresses" => Some(Kind::Stress),
        _ => None,
    };
    let found = words.iter().find_map(|w| of(w));
    let sure = match words[..] {
        [_] => true,
        [a, b] => {
            (of(b).is_some() && REFERENCE.contains(&a))
                || (of(a).is_some() && REFERENCE.contains(&b))
        }
        _ => false,
    };
    match found {
        Some(kind) if sure => Some((kind, Name::Sure)),
        Some(kind) => Some((kind, Name::Like)),
        None => match words[..] {
            ["e" | "e0" | "u" | "toten" | "etot" | "epot"] => Some((Kind::Energy, Name::Short)),
            ["f" | "grad" | "gradient" | "gradients"] => Some((Kind::Forces, Name::Short)),
            ["w" | "virial6"] => Some((Kind::Virial, Name::Short)),
            _ if words.iter().any(|w| w.starts_with("gradient")) => {
                Some((Kind::Forces, Name::Like))
            }
            _ => None,
        },
    }
}
