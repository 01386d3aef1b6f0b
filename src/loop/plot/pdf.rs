//! Plots as PDF: plotters' shapes in a page of their size, text in fonts that every reader has.

use super::{Plot, drawable, on_paper, paint};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, FontTransform,
};
use std::convert::Infallible;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Points per pixel: 96 pixels an inch.
const SCALE: f32 = 0.75;
/// plotters' sizes are those of a line of text; the letters' own is smaller (as in its SVG).
const LETTERS: f64 = 1.24;
/// Quarter of a circle as a Bézier curve.
const ROUND: f32 = 0.552_284_8;

/// Draws a plot as a PDF of one page; `None` if there is nothing finite to draw.
pub fn draw_pdf(plot: &Plot) -> Option<Vec<u8>> {
    let clean = drawable(plot)?;
    let mut page = Page {
        size: plot.size,
        content: Content::new(),
    };
    let (width, height) = (plot.size.0 as f32 * SCALE, plot.size.1 as f32 * SCALE);
    // From pixels, downwards, to points, upwards.
    page.content
        .transform([SCALE, 0.0, 0.0, -SCALE, 0.0, height]);
    paint(&clean, (&mut page).into_drawing_area()).ok()?;

    let mut ids = (1..).map(Ref::new);
    let mut id = || ids.next().expect("numbers do not end");
    let (catalog, pages, leaf, stream) = (id(), id(), id(), id());
    let fonts = Face::ALL.map(|face| (face, id()));
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([leaf]).count(1);
    let mut sheet = pdf.page(leaf);
    sheet.media_box(Rect::new(0.0, 0.0, width, height));
    sheet.parent(pages);
    sheet.contents(stream);
    let mut resources = sheet.resources();
    let mut named = resources.fonts();
    for (face, font) in fonts {
        named.pair(face.name(), font);
    }
    named.finish();
    resources.finish();
    sheet.finish();
    for (face, font) in fonts {
        let mut font = pdf.type1_font(font);
        match face {
            Face::Letters => font
                .base_font(Name(b"Helvetica"))
                .encoding_predefined(Name(b"WinAnsiEncoding")),
            Face::Greek => font.base_font(Name(b"Symbol")),
        };
    }
    pdf.stream(stream, &page.content.finish());
    Some(pdf.finish())
}

struct Page {
    size: (u32, u32),
    content: Content,
}

impl Page {
    /// A colour on white paper.
    fn mixed(color: BackendColor) -> [f32; 3] {
        let (r, g, b) = color.rgb;
        let full = on_paper(RGBColor(r, g, b));
        [full.0, full.1, full.2].map(|c| {
            let share = f64::from(c) / 255.0;
            (1.0 - color.alpha * (1.0 - share)) as f32
        })
    }

    fn fill(&mut self, color: BackendColor) {
        let [r, g, b] = Self::mixed(color);
        self.content.set_fill_rgb(r, g, b);
    }

    fn stroke<S: BackendStyle>(&mut self, style: &S) {
        let [r, g, b] = Self::mixed(style.color());
        self.content.set_stroke_rgb(r, g, b);
        self.content.set_line_width(style.stroke_width() as f32);
    }

    /// A path through points; nothing of fewer than two.
    fn path(&mut self, points: impl IntoIterator<Item = BackendCoord>) -> usize {
        let mut count = 0;
        for (x, y) in points {
            let (x, y) = (x as f32, y as f32);
            match count {
                0 => self.content.move_to(x, y),
                _ => self.content.line_to(x, y),
            };
            count += 1;
        }
        count
    }
}

impl DrawingBackend for &mut Page {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.fill(color);
        self.content
            .rect(x as f32, y as f32, 1.0, 1.0)
            .fill_nonzero();
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (width, height) = ((right - left) as f32, (bottom - top) as f32);
        if fill {
            self.fill(style.color());
        } else {
            self.stroke(style);
        }
        self.content.rect(left as f32, top as f32, width, height);
        if fill {
            self.content.fill_nonzero();
        } else {
            self.content.stroke();
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroke(style);
        match self.path(path) {
            0 => {}
            _ => {
                self.content.stroke();
            }
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (x, y, r) = (x as f32, y as f32, radius as f32);
        let k = ROUND * r;
        if fill {
            self.fill(style.color());
        } else {
            self.stroke(style);
        }
        self.content
            .move_to(x + r, y)
            .cubic_to(x + r, y + k, x + k, y + r, x, y + r)
            .cubic_to(x - k, y + r, x - r, y + k, x - r, y)
            .cubic_to(x - r, y - k, x - k, y - r, x, y - r)
            .cubic_to(x + k, y - r, x + r, y - k, x + r, y);
        if fill {
            self.content.fill_nonzero();
        } else {
            self.content.stroke();
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.fill(style.color());
        match self.path(corners) {
            0 => {}
            _ => {
                self.content.fill_nonzero();
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let size = (style.size() / LETTERS) as f32;
        let runs = runs(text);
        let width = size * runs.iter().map(|r| r.width).sum::<f32>() / 1000.0;
        let along = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -0.5 * width,
            HPos::Right => -width,
        };
        let down = match style.anchor().v_pos {
            VPos::Top => 0.76 * size,
            VPos::Center => 0.26 * size,
            VPos::Bottom => -0.26 * size,
        };
        // Columns of the rotation, on a page whose y goes down.
        let (cos, sin): (f32, f32) = match style.transform() {
            FontTransform::None => (1.0, 0.0),
            FontTransform::Rotate90 => (0.0, 1.0),
            FontTransform::Rotate180 => (-1.0, 0.0),
            FontTransform::Rotate270 => (0.0, -1.0),
        };
        let start = [
            x as f32 + cos * along - sin * down,
            y as f32 + sin * along + cos * down,
        ];
        self.fill(style.color());
        self.content.begin_text();
        // Letters stand upright: their own y goes up.
        self.content
            .set_text_matrix([cos, sin, sin, -cos, start[0], start[1]]);
        for run in runs {
            self.content.set_font(run.face.name(), size);
            self.content.show(Str(&run.codes));
        }
        self.content.end_text();
        Ok(())
    }
}

/// The two of PDF's standard fonts that are used; readers bring them along.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Face {
    Letters,
    Greek,
}

impl Face {
    const ALL: [Self; 2] = [Self::Letters, Self::Greek];

    fn name(self) -> Name<'static> {
        match self {
            Self::Letters => Name(b"L"),
            Self::Greek => Name(b"G"),
        }
    }
}

/// Letters in a row of one font.
#[derive(Debug, PartialEq)]
struct Run {
    face: Face,
    codes: Vec<u8>,
    /// In thousandths of the size.
    width: f32,
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for letter in text.chars() {
        let (face, code, width) = glyph(letter);
        match runs.last_mut() {
            Some(last) if last.face == face => {
                last.codes.push(code);
                last.width += width;
            }
            _ => runs.push(Run {
                face,
                codes: vec![code],
                width,
            }),
        }
    }
    runs
}

/// Widths of Helvetica's letters from the blank to the tilde (Adobe's font metrics).
#[rustfmt::skip]
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// Others that plots use: font, code (WinAnsi, Symbol) and width.
#[rustfmt::skip]
const OTHERS: [(char, Face, u8, u16); 36] = [
    ('Å', Face::Letters, 0xC5, 667), ('²', Face::Letters, 0xB2, 333), ('³', Face::Letters, 0xB3, 333),
    ('¹', Face::Letters, 0xB9, 333), ('°', Face::Letters, 0xB0, 400), ('±', Face::Letters, 0xB1, 584),
    ('·', Face::Letters, 0xB7, 278), ('×', Face::Letters, 0xD7, 584), ('½', Face::Letters, 0xBD, 834),
    ('–', Face::Letters, 0x96, 556), ('—', Face::Letters, 0x97, 1000), ('…', Face::Letters, 0x85, 1000),
    ('µ', Face::Letters, 0xB5, 556), ('−', Face::Greek, 0x2D, 549), ('√', Face::Greek, 0xD6, 549),
    ('⟨', Face::Greek, 0xE1, 329), ('⟩', Face::Greek, 0xF1, 329), ('≤', Face::Greek, 0xA3, 549),
    ('≥', Face::Greek, 0xB3, 549), ('→', Face::Greek, 0xAE, 987), ('∞', Face::Greek, 0xA5, 713),
    ('Γ', Face::Greek, 0x47, 603), ('Δ', Face::Greek, 0x44, 612), ('Σ', Face::Greek, 0x53, 592),
    ('α', Face::Greek, 0x61, 631), ('β', Face::Greek, 0x62, 549), ('γ', Face::Greek, 0x67, 411),
    ('δ', Face::Greek, 0x64, 494), ('ε', Face::Greek, 0x65, 439), ('λ', Face::Greek, 0x6C, 549),
    ('μ', Face::Greek, 0x6D, 576), ('π', Face::Greek, 0x70, 549), ('ρ', Face::Greek, 0x72, 549),
    ('σ', Face::Greek, 0x73, 603), ('τ', Face::Greek, 0x74, 439), ('χ', Face::Greek, 0x63, 549),
];

/// Font, code and width of a letter; a question mark for what neither font has.
fn glyph(letter: char) -> (Face, u8, f32) {
    let plain = |code: u8| {
        (
            Face::Letters,
            code,
            f32::from(WIDTHS[usize::from(code - b' ')]),
        )
    };
    match letter {
        ' '..='~' => plain(letter as u8),
        _ => OTHERS
            .iter()
            .find(|other| other.0 == letter)
            .map_or(plain(b'?'), |&(_, face, code, width)| {
                (face, code, f32::from(width))
            }),
    }
}

#[cfg(test)]
mod tests;
