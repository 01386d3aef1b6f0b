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
    // Those of atoms are no energies of the cell, but all forces are.
    let forces = words.iter().any(|w| w.starts_with("force"));
    let other = |w: &&str| OTHERS.contains(w) && !(forces && *w == "atomic");
    if words.iter().any(other) {
        return None;
    }
    if words.len() > 1 && words.iter().any(|w| w.starts_with("gradient")) {
        return Some((Kind::Forces, Name::Like));
    }
    let of = |word: &str| match word {
        "energy" => Some(Kind::Energy),
        "force" | "forces" => Some(Kind::Forces),
        "virial" | "virials" => Some(Kind::Virial),
        "stress" | "stresses" => Some(Kind::Stress),
        _ => None,
    };
    // Words run together, such as TotEnergy.
    const PARTS: [(&str, Kind); 4] = [
        ("energy", Kind::Energy),
        ("force", Kind::Forces),
        ("virial", Kind::Virial),
        ("stress", Kind::Stress),
    ];
    let within = |word: &&str| PARTS.iter().find(|(part, _)| word.contains(part));
    let found = words.iter().find_map(|w| of(w));
    let like = found.or_else(|| words.iter().find_map(within).map(|(_, kind)| *kind));
    let sure = match words[..] {
        [_] => true,
        [a, b] => {
            (of(b).is_some() && REFERENCE.contains(&a))
                || (of(a).is_some() && REFERENCE.contains(&b))
        }
        _ => false,
    };
    match like {
        Some(kind) if sure && found.is_some() => Some((kind, Name::Sure)),
        Some(kind) => Some((kind, Name::Like)),
        None => match words[..] {
            ["e" | "e0" | "u" | "u0" | "toten" | "etot" | "epot"]
            | ["e", "tot" | "pot" | "total"] => Some((Kind::Energy, Name::Short)),
            [word, "e"] if REFERENCE.contains(&word) => Some((Kind::Energy, Name::Short)),
            ["f" | "grad" | "gradient" | "gradients"] => Some((Kind::Forces, Name::Short)),
            [word, "f"] if REFERENCE.contains(&word) => Some((Kind::Forces, Name::Short)),
            ["w" | "vir"] => Some((Kind::Virial, Name::Short)),
            ["pressure" | "press" | "sigma"] => Some((Kind::Stress, Name::Short)),
            _ => None,
        },
    }
}
