//! CP2K's input from a template: placeholders in, text out.

use crate::label::fill;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Built-in templates: for metals (smeared occupations, diagonalisation, Broyden mixing), for systems with
/// a gap, and for the latter by orbital transformation, which always goes downhill but knows Γ only.
pub(super) const BUILT_IN: [(&str, &str); 3] = [
    ("metal", include_str!("metal.inp")),
    ("insulator", include_str!("insulator.inp")),
    ("insulator-ot", include_str!("insulator-ot.inp")),
];

/// Basis set and potential of an element, as CP2K's data files name them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Basis set, such as `DZVP-MOLOPT-PBE-GTH-q1`.
    pub basis: String,
    /// Pseudopotential, such as `GTH-PBE-q1`.
    pub potential: String,
}

/// Puts structure, kinds and values into a template.
///
/// `@CELL@`, `@COORD@` and `@KINDS@` become the lines of a structure, `@KPOINTS@` a `&KPOINTS`
/// section, or nothing for the Γ point alone; every other `@NAME@` comes from `values`.
///
/// **Errors**: [`Error::InvalidArgument`] for placeholders without a value, a template that
/// lacks cell or coordinates, or an element without a kind where `@KINDS@` is used.
pub(super) fn input(
    template: &str,
    structure: &Structure,
    mesh: [usize; 3],
    kinds: &BTreeMap<String, Kind>,
    values: &BTreeMap<String, String>,
) -> Result<String> {
    for needed in ["@CELL@", "@COORD@"] {
        if !template.contains(needed) {
            return Err(Error::invalid(format!(
                "the CP2K template has no {needed}; every structure would get the same label"
            )));
        }
    }
    fill::fill(template, |name| {
        Ok(match name {
            "CELL" => cell(structure),
            "COORD" => coordinates(structure),
            "KINDS" => kind_sections(structure, kinds)?,
            "KPOINTS" => kpoints(mesh),
            name => {
                let known = ["CELL", "COORD", "KINDS", "KPOINTS"].into_iter();
                let known = known.chain(values.keys().map(String::as_str));
                let value = values.get(name).cloned();
                value.ok_or_else(|| fill::unknown("CP2K", name, known))?
            }
        })
    })
}

fn cell(structure: &Structure) -> String {
    let mut text = String::new();
    for (name, v) in ["A", "B", "C"].iter().zip(structure.cell.vectors()) {
        let _ = writeln!(
            text,
            "      {name} [angstrom] {:.12} {:.12} {:.12}",
            v[0], v[1], v[2]
        );
    }
    let periodic: String = ["X", "Y", "Z"]
        .iter()
        .zip(structure.cell.periodic())
        .filter_map(|(axis, on)| on.then_some(*axis))
        .collect();
    let periodic = if periodic.is_empty() {
        "NONE"
    } else {
        &periodic
    };
    let _ = write!(text, "      PERIODIC {periodic}");
    text
}

fn coordinates(structure: &Structure) -> String {
    let mut text = "      UNIT angstrom".to_owned();
    for (element, r) in structure.elements.iter().zip(&structure.positions) {
        let _ = write!(
            text,
            "\n      {element} {:.12} {:.12} {:.12}",
            r[0], r[1], r[2]
        );
    }
    text
}

fn kind_sections(structure: &Structure, kinds: &BTreeMap<String, Kind>) -> Result<String> {
    let elements: BTreeSet<&str> = structure.elements.iter().map(|e| e.symbol()).collect();
    let mut sections = Vec::new();
    for element in elements {
        let kind = kinds.get(element).ok_or_else(|| {
            Error::invalid(format!(
                "the cp2k labeller has no basis and potential for {element}; add it to the table `kinds`"
            ))
        })?;
        sections.push(kind_section(element, kind));
    }
    Ok(sections.join("\n"))
}

fn kind_section(element: &str, kind: &Kind) -> String {
    format!(
        "    &KIND {element}\n      BASIS_SET {}\n      POTENTIAL {}\n    &END KIND",
        kind.basis, kind.potential
    )
}

fn kpoints(mesh: [usize; 3]) -> String {
    if mesh == [1; 3] {
        // Γ alone is another, faster code path, chosen by leaving the section out.
        return String::new();
    }
    let [a, b, c] = mesh;
    format!("    &KPOINTS\n      SCHEME MONKHORST-PACK {a} {b} {c}\n    &END KPOINTS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::fill::mesh;
    use nepal::element::Element;
    use nepal::system::Cell;
    use std::f64::consts::TAU;

    fn salt() -> Structure {
        let element = |s| Element::from_symbol(s).unwrap();
        Structure::new(
            Cell::new(
                [[4.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 20.0]],
                [true, true, false],
            )
            .unwrap(),
            vec![element("Na"), element("Cl")],
            vec![[0.0; 3], [1.0 / 3.0, -2.0, 0.5]],
        )
        .unwrap()
    }

    fn kinds() -> BTreeMap<String, Kind> {
        ["Na", "Cl"]
            .map(|e| {
                let kind = Kind {
                    basis: format!("BASIS-{e}"),
                    potential: format!("POT-{e}"),
                };
                (e.to_owned(), kind)
            })
            .into()
    }

    #[test]
    fn meshes_follow_the_spacing() {
        assert_eq!(mesh(&salt(), 0.4), [4, 2, 1]);
        assert_eq!(mesh(&salt(), 10.0), [1, 1, 1]);
        // 2π/8 asks for exactly one point along 8 Å.
        assert_eq!(mesh(&salt(), TAU / 8.0), [2, 1, 1]);
    }

    #[test]
    fn placeholders_are_filled_and_cp2k_directives_left() {
        let template = "@SET X 1\n@CELL@\n@COORD@\n@KINDS@\n@KPOINTS@\nCUTOFF @CUTOFF@ ${X}\n";
        let values = BTreeMap::from([("CUTOFF".to_owned(), "150".to_owned())]);
        let text = input(template, &salt(), [4, 2, 1], &kinds(), &values).unwrap();
        assert!(text.starts_with("@SET X 1\n      A [angstrom] 4.000000000000 0"));
        assert!(text.contains("PERIODIC XY\n      UNIT angstrom\n      Na 0.0"));
        assert!(text.contains("      Cl 0.333333333333 -2.0"));
        assert!(text.contains("&KIND Na\n      BASIS_SET BASIS-Na\n      POTENTIAL POT-Na\n"));
        assert!(text.contains("MONKHORST-PACK 4 2 1"));
        assert!(text.ends_with("CUTOFF 150 ${X}\n"));
        let gamma = input(template, &salt(), [1; 3], &kinds(), &values).unwrap();
        assert!(!gamma.contains("KPOINTS"));
    }

    #[test]
    fn what_a_template_lacks_is_named() {
        let error = |template: &str, kinds| {
            input(template, &salt(), [1; 3], &kinds, &BTreeMap::new())
                .unwrap_err()
                .to_string()
        };
        assert!(error("@COORD@", kinds()).contains("@CELL@"));
        assert!(error("@CELL@ @COORD@ @CUTOF@", kinds()).contains("@CUTOF@"));
        let mut only_sodium = kinds();
        only_sodium.remove("Cl");
        assert!(error("@CELL@ @COORD@ @KINDS@", only_sodium).contains("Cl"));
    }
}
