use super::*;
use crate::plot::{Mark, Series};

#[test]
fn a_pdf_has_the_words_and_the_colours_of_the_plot() {
    let plot = Plot {
        x: "Γ of an atom (Å²)".into(),
        y: "count".into(),
        size: (400, 300),
        series: vec![Series {
            name: "largest".into(),
            color: 1,
            mark: Mark::Dots,
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        }],
        ..Plot::default()
    };
    let bytes = draw_pdf(&plot).expect("something to draw");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
    assert!(has(b"(largest) Tj") && has(b"(count) Tj"));
    // Γ of Symbol, then the rest in Helvetica; the second colour, #d9480f.
    let rest: String = b" of an atom (\xC5\xB2)"
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    assert!(has(b"(G) Tj") && has(format!("<{rest}> Tj").as_bytes()));
    assert!(has(b"0.85098") && has(b"/MediaBox [0 0 300 225]"));
    assert_eq!(draw_pdf(&Plot::default()), None);
}

#[test]
fn text_is_as_wide_as_its_letters() {
    // A in Helvetica 667, γ in Symbol 411.
    let found = runs("Aγ");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].width, found[1].width), (667.0, 411.0));
    assert_eq!(runs("\u{4e00}")[0].codes, b"?");
}
