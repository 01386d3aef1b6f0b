//! Pictures of what was labelled: atoms as discs, near ones in front, the core strong and the boundary
//! pale.

use maud::{Markup, PreEscaped, html};
use nepal::system::Frame;
use nepal::system::cell::{add, sub};
use std::fmt::Write;

/// One labelled structure to draw.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What it is, in words.
    pub caption: String,
    /// File that holds it, relative to the report.
    pub file: String,
    /// Number of the frame in that file, from 1.
    pub frame: usize,
    /// The structure.
    pub structure: Frame,
}

/// Edge of a picture in its own units.
const SIZE: f64 = 260.0;
/// Part of the covalent radius that a disc has.
const DISC: f64 = 0.62;
/// Number of colours of the page.
const COLORS: usize = 6;
/// Rows of the view: right, up, towards the reader. A look from the front, a little from above and the
/// right.
const VIEW: [[f64; 3]; 3] = [
    [0.939_692_6, -0.342_020_1, 0.0],
    [0.088_521_3, 0.243_210_3, 0.965_925_8],
    [-0.330_366_1, -0.907_673_4, 0.258_819_0],
];

fn seen(r: [f64; 3]) -> [f64; 3] {
    VIEW.map(|row| row[0] * r[0] + row[1] * r[1] + row[2] * r[2])
}

/// All pictures.
pub fn render(pictures: &[Picture]) -> Markup {
    html! {
        @if !pictures.is_empty() {
            div.gallery {
                @for picture in pictures {
                    figure.atoms {
                        (PreEscaped(draw(&picture.structure)))
                        figcaption {
                            (picture.caption)
                            br;
                            a href=(picture.file) { (picture.file) }
                            ", frame " (picture.frame)
                        }
                    }
                }
            }
        }
    }
}

/// One structure as SVG.
fn draw(frame: &Frame) -> String {
    let s = &frame.structure;
    let mut symbols: Vec<&str> = Vec::new();
    for element in &s.elements {
        if !symbols.contains(&element.symbol()) {
            symbols.push(element.symbol());
        }
    }
    symbols.sort_unstable();
    let periodic = s.cell.periodic().contains(&true);
    let edges = if periodic {
        edges(*s.cell.vectors())
    } else {
        Vec::new()
    };
    let atoms: Vec<[f64; 3]> = s
        .positions
        .iter()
        .map(|r| seen(if periodic { s.cell.wrap(*r) } else { *r }))
        .collect();
    let places = || atoms.iter().copied().chain(edges.iter().flatten().copied());
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for p in places() {
        for c in 0..3 {
            low[c] = low[c].min(p[c]);
            high[c] = high[c].max(p[c]);
        }
    }
    // Room for the discs at the rim.
    let span = (high[0] - low[0]).max(high[1] - low[1]).max(1.0) + 2.0;
    let scale = SIZE / span;
    let middle = [0, 1, 2].map(|c| 0.5 * (low[c] + high[c]));
    let screen = |p: [f64; 3]| {
        let d = sub(p, middle);
        (0.5 * SIZE + scale * d[0], 0.5 * SIZE - scale * d[1])
    };
    let mut svg = format!("<svg class=\"plot\" viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\">");
    for [a, b] in &edges {
        let ((x1, y1), (x2, y2)) = (screen(*a), screen(*b));
        let _ = write!(
            svg,
            "<path class=\"cell\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>"
        );
    }
    let mut order: Vec<usize> = (0..atoms.len()).collect();
    order.sort_by(|&a, &b| atoms[a][2].total_cmp(&atoms[b][2]));
    let target = target(frame);
    for i in order {
        let (x, y) = screen(atoms[i]);
        let element = s.elements[i];
        let color = symbols
            .iter()
            .position(|name| *name == element.symbol())
            .unwrap_or(0)
            % COLORS;
        let radius = DISC * element.covalent_radius() * scale;
        let core = core(frame, i);
        let class = match (target == Some(i), core) {
            (true, _) => "target",
            (false, true) => "core",
            (false, false) => "rim",
        };
        let _ = write!(
            svg,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"var(--c{color})\"/>"
        );
    }
    // The ring once more, in front of what hides it.
    if let Some(i) = target.filter(|&i| i < atoms.len()) {
        let (x, y) = screen(atoms[i]);
        let radius = DISC * s.elements[i].covalent_radius() * scale;
        let _ = write!(
            svg,
            "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>"
        );
    }
    for (k, name) in symbols.iter().enumerate() {
        let x = 8.0 + 34.0 * k as f64;
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"10\" r=\"5\" fill=\"var(--c{})\"/><text x=\"{}\" y=\"14\">{}</text>",
            k % COLORS,
            x + 8.0,
            name
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Whether an atom stands where it stood in the parent; all do in whole cells.
fn core(frame: &Frame, atom: usize) -> bool {
    use nepal::system::frame::ColumnData;
    let column = frame.columns.iter().find(|c| c.name == "core");
    match column.map(|c| &c.data) {
        Some(ColumnData::Integer { values, .. }) => values.get(atom).is_none_or(|v| *v != 0),
        Some(ColumnData::Real { values, .. }) => values.get(atom).is_none_or(|v| *v != 0.0),
        _ => frame.force_mask.as_ref().is_none_or(|m| m[atom] > 0.0),
    }
}

/// The atom that a fragment was cut around.
fn target(frame: &Frame) -> Option<usize> {
    frame.info.get("target")?.parse().ok()
}

/// The twelve edges of a cell.
fn edges(v: [[f64; 3]; 3]) -> Vec<[[f64; 3]; 2]> {
    let mut out = Vec::with_capacity(12);
    for along in 0..3 {
        let (b, c) = (v[(along + 1) % 3], v[(along + 2) % 3]);
        for start in [[0.0; 3], b, c, add(b, c)] {
            out.push([seen(start), seen(add(start, v[along]))]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::{Cell, Structure};

    #[test]
    fn core_boundary_and_target_are_told_apart() {
        let cell = Cell::orthorhombic([6.0; 3]).unwrap();
        let elements = ["Na", "Cl", "Na"].map(|e| Element::from_symbol(e).unwrap());
        let positions = vec![[0.0; 3], [3.0, 0.0, 0.0], [7.0, 3.0, 3.0]];
        let structure = Structure::new(cell, elements.to_vec(), positions).unwrap();
        let mut frame = Frame::new(structure);
        let count = |svg: &str, what: &str| svg.matches(what).count();
        let whole = draw(&frame);
        assert_eq!(count(&whole, "class=\"core\""), 3);
        assert_eq!(count(&whole, "class=\"cell\""), 12);
        assert_eq!(count(&whole, "<text"), 2);
        frame.force_mask = Some(vec![1.0, 1.0, 0.0]);
        frame.info.insert("target".into(), "1".into());
        let cut = draw(&frame);
        assert_eq!(count(&cut, "class=\"core\""), 1);
        assert_eq!(count(&cut, "class=\"rim\""), 1);
        assert_eq!(count(&cut, "class=\"target\""), 1);
        // All discs lie inside the picture.
        for word in cut.split("cx=\"").skip(1) {
            let x: f64 = word.split('"').next().unwrap().parse().unwrap();
            assert!((0.0..=SIZE).contains(&x));
        }
        // The rows of the view are orthonormal.
        for a in 0..3 {
            for b in 0..3 {
                let d: f64 = (0..3).map(|c| VIEW[a][c] * VIEW[b][c]).sum();
                assert!(
                    (d - f64::from(u8::from(a == b))).abs() < 1e-6,
                    "{a} {b} {d}"
                );
            }
        }
    }
}
