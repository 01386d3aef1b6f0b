//! Structures in VASP's POSCAR format.

use nepal::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Structure};

/// Reads the text of a POSCAR that names its elements (VASP 5 and later).
pub(super) fn parse(text: &str, name: &str) -> Result<Structure> {
    let lines: Vec<&str> = text.lines().collect();
    let error = |line: usize, message: String| Error::parse(name, line + 1, message);
    let words = |line: usize| -> Vec<&str> {
        let words = lines.get(line).copied().unwrap_or_default();
        words.split_whitespace().collect()
    };
    let reals = |line: usize| -> Vec<f64> {
        words(line)
            .iter()
            .map_while(|w| w.parse().ok())
            .filter(|x: &f64| x.is_finite())
            .collect()
    };
    let triple = |line: usize| -> Result<[f64; 3]> {
        let found = reals(line);
        (found.get(..3).and_then(|v| v.try_into().ok())).ok_or_else(|| {
            let found = lines.get(line).copied().unwrap_or("the end of the file");
            error(line, format!("expected three numbers, found {found:?}"))
        })
    };
    let mut vectors = [triple(2)?, triple(3)?, triple(4)?];
    let factors = match reals(1)[..] {
        // A negative factor is the volume of the cell.
        [volume] if volume < 0.0 => {
            let now = Cell::new(vectors, [true; 3])?.volume();
            [(-volume / now).cbrt(); 3]
        }
        [factor] if factor > 0.0 => [factor; 3],
        [a, b, c] => [a, b, c],
        _ => return Err(error(1, "expected the scaling factor of a POSCAR".into())),
    };
    for vector in &mut vectors {
        (0..3).for_each(|c| vector[c] *= factors[c]);
    }
    let symbols = words(5);
    // Potentials are named, too: Na_pv, O/abc123.
    let element = |word: &&str| {
        Element::from_symbol(word.split(['_', '/']).next().unwrap_or_default())
            .map_err(|e| error(5, format!("expected the elements (VASP 5 and later): {e}")))
    };
    let species = symbols.iter().map(element).collect::<Result<Vec<_>>>()?;
    let counts: Vec<usize> = words(6).iter().map_while(|w| w.parse().ok()).collect();
    if counts.len() != species.len() || species.is_empty() {
        let message = format!(
            "expected {} numbers of atoms, found {}",
            species.len(),
            counts.len()
        );
        return Err(error(6, message));
    }
    let first = |line: usize| words(line).first().and_then(|w| w.chars().next());
    let mut line = 7;
    if first(line).is_some_and(|c| c.eq_ignore_ascii_case(&'s')) {
        line += 1;
    }
    let cartesian = first(line).is_some_and(|c| "cCkK".contains(c));
    let cell = Cell::new(vectors, [true; 3])?;
    let (mut elements, mut positions) = (Vec::new(), Vec::new());
    for (element, count) in species.iter().zip(counts) {
        for _ in 0..count {
            line += 1;
            let r = triple(line)?;
            elements.push(*element);
            positions.push(if cartesian {
                std::array::from_fn(|c| r[c] * factors[c])
            } else {
                cell.cartesian(r)
            });
        }
    }
    Structure::new(cell, elements, positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_vasp_reads() {
        let text = "salt\n2.0\n2 0 0\n0 2 0\n0 0 2\n Na_pv Cl\n 1 1\nSelective dynamics\nDirect\n 0 0 0 T T T\n 0.5 0.5 0.25 F F F\n";
        let s = parse(text, "POSCAR").unwrap();
        assert_eq!(s.positions[1], [2.0, 2.0, 1.0]);
        assert_eq!(s.elements[0].symbol(), "Na");
        let text = text
            .replace("\n2.0\n", "\n-64.0\n")
            .replace("Direct", "Cart");
        assert_eq!(
            parse(&text, "POSCAR").unwrap().positions[1],
            [1.0, 1.0, 0.5]
        );
        let old = parse("x\n1\n2 0 0\n0 2 0\n0 0 2\n1\nDirect\n0 0 0\n", "POSCAR");
        assert!(old.unwrap_err().to_string().starts_with("POSCAR:6:"));
        assert!(parse("not a\nstructure\n", "x").is_err());
    }
}
