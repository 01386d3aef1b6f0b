//! LAMMPS' text dumps with `id element xu yu zu` and a grade.

use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Frame, Structure};
use std::path::Path;

/// The relative deviation of an atom's force, as a variable.
pub(super) const RELATIVE: &str = "nepal_f";

/// A frame of a dump.
pub(super) struct Dumped {
    pub step: usize,
    pub frame: Frame,
}

/// All whole frames of a dump; a last one that was cut off is left out.
pub(super) fn read(path: &Path) -> Result<Vec<Dumped>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let mut lines = text.lines().enumerate().peekable();
    let mut frames = Vec::new();
    while lines.peek().is_some() {
        let at = lines.peek().map_or(0, |l| l.0) + 1;
        match frame(&mut lines) {
            Ok(found) => frames.push(found),
            // The program may have been killed while it wrote.
            Err(_) if lines.peek().is_none() => break,
            Err(what) => {
                return Err(Error::parse(path.display().to_string(), at, what));
            }
        }
    }
    Ok(frames)
}

type Lines<'a> = std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>;

fn frame(lines: &mut Lines<'_>) -> std::result::Result<Dumped, String> {
    let mut step = None;
    let mut count = 0;
    let mut cell = None;
    loop {
        let line = next(lines)?;
        if line == "ITEM: TIMESTEP" {
            step = next(lines)?.trim().parse().ok();
        } else if line == "ITEM: NUMBER OF ATOMS" {
            count = next(lines)?
                .trim()
                .parse()
                .map_err(|_| "expected a number of atoms".to_owned())?;
        } else if let Some(kind) = line.strip_prefix("ITEM: BOX BOUNDS") {
            cell = Some(bounds(kind, lines)?);
        } else if let Some(names) = line.strip_prefix("ITEM: ATOMS") {
            let cell = cell.take().ok_or("expected the box before the atoms")?;
            return Ok(Dumped {
                step: step.ok_or("expected a step before the atoms")?,
                frame: atoms(names, count, cell, lines)?,
            });
        } else if !line.starts_with("ITEM:") {
            return Err(format!("expected ITEM:, found {line:?}"));
        }
    }
}

fn next<'a>(lines: &mut Lines<'a>) -> std::result::Result<&'a str, String> {
    lines
        .next()
        .map(|l| l.1)
        .ok_or_else(|| "expected more lines".to_owned())
}

/// The cell; the origin does not matter to nepal, so positions are shifted by it.
struct Box {
    cell: Cell,
    origin: [f64; 3],
}

fn bounds(kind: &str, lines: &mut Lines<'_>) -> std::result::Result<Box, String> {
    let flags: Vec<&str> = kind.split_whitespace().collect();
    let tilted = flags.first() == Some(&"xy");
    let flags = flags.get(if tilted { 3 } else { 0 }..).unwrap_or_default();
    let mut rows = [[0.0; 3]; 3];
    for row in &mut rows {
        let line = next(lines)?;
        for (k, word) in line.split_whitespace().enumerate().take(3) {
            row[k] = word
                .parse()
                .map_err(|_| format!("expected box bounds, found {line:?}"))?;
        }
    }
    let [xy, xz, yz] = if tilted { rows.map(|r| r[2]) } else { [0.0; 3] };
    let low = [
        rows[0][0]
            - [0.0, xy, xz, xy + xz]
                .into_iter()
                .fold(f64::INFINITY, f64::min),
        rows[1][0] - yz.min(0.0),
        rows[2][0],
    ];
    let high = [
        rows[0][1]
            - [0.0, xy, xz, xy + xz]
                .into_iter()
                .fold(f64::NEG_INFINITY, f64::max),
        rows[1][1] - yz.max(0.0),
        rows[2][1],
    ];
    let vectors = [
        [high[0] - low[0], 0.0, 0.0],
        [xy, high[1] - low[1], 0.0],
        [xz, yz, high[2] - low[2]],
    ];
    let periodic = [0, 1, 2].map(|d| flags.get(d) == Some(&"pp"));
    Ok(Box {
        cell: Cell::new(vectors, periodic).map_err(|e| e.to_string())?,
        origin: low,
    })
}

fn atoms(
    names: &str,
    count: usize,
    cell: Box,
    lines: &mut Lines<'_>,
) -> std::result::Result<Frame, String> {
    let names: Vec<&str> = names.split_whitespace().collect();
    let column = |name: &str| {
        names
            .iter()
            .position(|n| *n == name)
            .ok_or_else(|| format!("expected the column {name}, found {}", names.join(" ")))
    };
    let (element, grade) = (column("element")?, column("f_nepal_grade")?);
    let relative = column(&format!("v_{RELATIVE}")).ok();
    let place = [column("xu")?, column("yu")?, column("zu")?];
    let (mut elements, mut positions, mut grades) = (Vec::new(), Vec::new(), Vec::new());
    let mut relatives = Vec::new();
    for _ in 0..count {
        let line = next(lines)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |k: usize| -> std::result::Result<f64, String> {
            words
                .get(k)
                .and_then(|w| w.parse().ok())
                .ok_or_else(|| format!("expected {} columns, found {line:?}", names.len()))
        };
        let symbol = words.get(element).copied().unwrap_or_default();
        elements.push(Element::from_symbol(symbol).map_err(|e| e.to_string())?);
        let mut r = [0.0; 3];
        for d in 0..3 {
            r[d] = number(place[d])? - cell.origin[d];
        }
        positions.push(cell.cell.wrap(r));
        grades.push(number(grade)?);
        if let Some(relative) = relative {
            relatives.push(number(relative)?);
        }
    }
    let structure = Structure::new(cell.cell, elements, positions).map_err(|e| e.to_string())?;
    let mut frame = Frame::new(structure);
    frame.set_real_column("grade", 1, grades);
    if relative.is_some() {
        frame.set_real_column(RELATIVE, 1, relatives);
    }
    Ok(frame)
}
