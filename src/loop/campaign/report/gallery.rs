//! What was labelled, to turn in the hand: balls, the core strong and the boundary pale.

use maud::{Markup, PreEscaped, html};
use nepal::system::Frame;
use serde_json::{Value, json};

/// The script that shows structures.
pub const VIEWER: &str = include_str!("viewer.js");

/// One labelled structure to show.
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

/// All structures, and what shows them.
pub fn render(pictures: &[Picture]) -> Markup {
    let all: Vec<Value> = pictures.iter().map(shown).collect();
    // Inside a script element only this would end it.
    let text = json!(all).to_string().replace("</", "<\\/");
    html! {
        @if !pictures.is_empty() {
            div #viewer hidden {
                select aria-label="structure" {}
                canvas tabindex="0" role="img" aria-label="a structure; drag or use the arrow keys to turn it" {}
                p.from {}
            }
            noscript { p { "Shown by a script of this page; the structures are in round-*/labelled.xyz." } }
            script #structures type="application/json" { (PreEscaped(text)) }
            script { (PreEscaped(VIEWER)) }
        }
    }
}

/// One structure as the script takes it; positions and cell in hundredths of Å.
fn shown(picture: &Picture) -> Value {
    let frame = &picture.structure;
    let s = &frame.structure;
    let mut kinds: Vec<nepal::Element> = Vec::new();
    for element in &s.elements {
        if !kinds.contains(element) {
            kinds.push(*element);
        }
    }
    kinds.sort_unstable_by_key(|e| e.symbol());
    let kind = |e| kinds.iter().position(|k| k == e).unwrap_or(0);
    let periodic = s.cell.periodic().contains(&true);
    let place = |r: &[f64; 3]| {
        let r = if periodic { s.cell.wrap(*r) } else { *r };
        r.map(|x| (100.0 * x).round() / 100.0)
    };
    json!({
        "caption": picture.caption,
        "file": picture.file,
        "frame": picture.frame,
        "elements": kinds.iter().map(|e| e.symbol()).collect::<Vec<_>>(),
        "radii": kinds.iter().map(|e| e.covalent_radius()).collect::<Vec<_>>(),
        "kind": s.elements.iter().map(kind).collect::<Vec<_>>(),
        "r": s.positions.iter().map(place).collect::<Vec<_>>(),
        "cell": periodic.then(|| s.cell.vectors()),
        "rim": (0..frame.len()).filter(|&i| !core(frame, i)).collect::<Vec<_>>(),
        "target": target(frame),
    })
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
        let mut picture = Picture {
            caption: "a </script> in a name".into(),
            file: "a.xyz".into(),
            frame: 1,
            structure: Frame::new(structure),
        };
        let whole = shown(&picture);
        assert_eq!(whole["rim"], json!([]));
        assert_eq!(whole["kind"], json!([1, 0, 1]));
        assert_eq!(whole["r"][2], json!([1.0, 3.0, 3.0]));
        picture.structure.force_mask = Some(vec![1.0, 1.0, 0.0]);
        picture.structure.info.insert("target".into(), "1".into());
        let cut = shown(&picture);
        assert_eq!((&cut["rim"], &cut["target"]), (&json!([2]), &json!(1)));
        let page = render(&[picture]).0;
        assert_eq!(page.matches("</script>").count(), 2);
    }
}
