//! The blocks of CP2K's output.

use super::super::dialect::{finite, last_after, legible, matrix, mesh, numbers, triple};
use crate::label::checks::Echo;
use nepal::units::BOHR;

/// What CP2K says of its input.
pub(super) fn echo(output: &str) -> std::result::Result<Echo, String> {
    let vector = |name: &str| {
        let line = output.lines().find(|l| l.trim_start().starts_with(name))?;
        triple(line.split_once("[angstrom]:")?.1)
    };
    let cell = match ["CELL| Vector a", "CELL| Vector b", "CELL| Vector c"].map(vector) {
        [Some(a), Some(b), Some(c)] => Some([a, b, c]),
        _ => None,
    };
    let periodic = output
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("CELL| Periodicity"))
        .map(|axes| ['X', 'Y', 'Z'].map(|axis| axes.contains(axis)));
    // `MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM`, then `index kind element Z x y z ...`.
    let block = output.split_once("ATOMIC COORDINATES IN ").map(|b| b.1);
    let unit = block.map(|block| block[..block.len().min(8)].to_ascii_lowercase());
    let scale = match unit.as_deref() {
        Some("angstrom") => 1.0,
        Some(unit) if unit.starts_with("bohr") => BOHR,
        _ => f64::NAN,
    };
    let atoms: Vec<(String, [f64; 3])> = block
        .unwrap_or_default()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .skip_while(|words| words.first() != Some(&"1"))
        .zip(1..)
        .map_while(|(words, n)| {
            let (index, symbol) = (words.first()?.parse::<usize>(), words.get(2)?);
            let r = triple(&words.get(4..)?.join(" "))?;
            (index == Ok(n)).then(|| ((*symbol).to_owned(), r.map(|x| x * scale)))
        })
        .collect();
    let (elements, positions): (Vec<_>, Vec<_>) = atoms.into_iter().unzip();
    let positions = Some(positions).filter(|all| scale.is_finite() && !all.is_empty());
    Ok(Echo {
        elements: Some(elements).filter(|all| !all.is_empty()),
        positions: legible(block.is_some(), "positions", positions)?,
        cell: legible(output.contains("CELL| Vector"), "cell", cell)?,
        periodic,
        mesh: output
            .split_once("BRILLOUIN| K-Point grid")
            .and_then(|(_, tail)| mesh(tail)),
        // Printed in hartree, asked for in rydberg.
        cutoff: output
            .split_once("QS| Density cutoff [a.u.]:")
            .and_then(|(_, tail)| finite(tail.split_whitespace().next()?))
            .map(|hartree| 2.0 * hartree),
        ..Echo::default()
    })
}

/// Elements (where printed) and forces, hartree/bohr, of the last table, and how many tables there are.
pub(super) type Forces = (Option<Vec<String>>, Vec<[f64; 3]>, usize);

pub(super) fn forces(text: &str) -> std::result::Result<Forces, String> {
    const LAYOUTS: [(&str, &str); 2] = [
        ("ATOMIC FORCES in [a.u.]", "SUM OF ATOMIC FORCES"),
        ("FORCES| Atomic forces [hartree/bohr]", "FORCES| Sum"),
    ];
    let found = LAYOUTS.iter().find(|(head, _)| text.contains(head));
    let (head, closing) = found.ok_or("the output has no forces (is &FORCES on?)")?;
    let block = last_after(text, head).unwrap_or_default();
    let end = block
        .find(closing)
        .ok_or("the table of forces has no end: the output was cut")?;
    let (mut symbols, mut forces) = (Vec::new(), Vec::new());
    for line in block[..end].lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Old: index, kind, element, x, y, z. New: FORCES|, index, x, y, z, norm. Both six words.
        let (index, first) = match words[..] {
            [] | ["#", ..] | ["FORCES|", "Atom", ..] => continue,
            ["FORCES|", index, _, _, _, _] => (index, 2),
            [index, _, symbol, _, _, _] => {
                symbols.push(symbol.to_owned());
                (index, 3)
            }
            _ => ("", 0),
        };
        let force = numbers(&words[first..].join(" ")).first_chunk().copied();
        match (index.parse::<usize>(), force) {
            (Ok(index), Some(force)) if index == forces.len() + 1 => forces.push(force),
            _ => {
                return Err(format!(
                    "a row of the forces is not legible: {:?}",
                    line.trim()
                ));
            }
        }
    }
    let symbols = Some(symbols).filter(|s| s.len() == forces.len());
    Ok((symbols, forces, text.matches(head).count()))
}

/// The last stress tensor in GPa, positive when compressed; `None` if there is none.
///
/// Until release 8 `STRESS TENSOR [GPa]` and rows `X`, `Y`, `Z`, since then `STRESS| Analytical stress tensor [GPa]`,
/// or `Numerical`, and rows `STRESS| x`.
pub(super) fn stress(text: &str) -> std::result::Result<Option<[f64; 9]>, String> {
    // Its eigenvectors come under a heading that is alike.
    let heads = [
        "STRESS TENSOR [",
        "STRESS| Analytical stress tensor [",
        "STRESS| Numerical stress tensor [",
    ];
    let found = heads.map(|head| text.rfind(head));
    let Some(at) = found.into_iter().flatten().max() else {
        return Ok(None);
    };
    let illegible = || "the stress tensor is not legible: the output was cut".to_owned();
    let (_, block) = text[at..].split_once('[').ok_or_else(illegible)?;
    let (unit, block) = block.split_once(']').ok_or_else(illegible)?;
    let scale = match unit {
        "GPa" => 1.0,
        "kbar" => 0.1,
        "bar" => 1e-4,
        "MPa" => 1e-3,
        "Pa" => 1e-9,
        other => {
            return Err(format!(
                "the stress is in {other:?}; expected GPa, kbar, bar, MPa or Pa"
            ));
        }
    };
    let rows = block.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("STRESS|").unwrap_or(line).trim_start();
        line.strip_prefix(['x', 'y', 'z', 'X', 'Y', 'Z'])
            // The names of the columns are no row.
            .filter(|row| !row.trim_start().starts_with(['y', 'Y']))
    });
    let tensor = matrix(rows.take(3)).ok_or_else(illegible)?;
    Ok(Some(std::array::from_fn(|k| scale * tensor[k / 3][k % 3])))
}

/// The text of CP2K's `[ABORT]` box.
pub(super) fn abort_message(output: &str) -> Option<String> {
    let at = output.find("[ABORT]")?;
    // A figure of nine columns stands left of the text, a frame of asterisks around both.
    let text: Vec<String> = output[at..]
        .lines()
        .skip(1)
        .take(20)
        .take_while(|line| !line.trim().starts_with("***"))
        .map(|line| line.chars().skip(9).collect::<String>())
        .map(|line| line.trim().trim_end_matches('*').trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    Some(text.join(" "))
}
