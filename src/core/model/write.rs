//! Writing `nep.txt` in the layout of GPUMD's `nep`.

use super::Model;
use super::header::{Cutoff, Zbl};
use std::fmt::Write;

/// The text of a model file.
pub(super) fn text(model: &Model) -> String {
    let h = model.header();
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    // GPUMD leaves a blank at the end of this line, and a public script counts on it.
    let symbols: String = h.elements.iter().map(|e| format!("{e} ")).collect();
    line(format!("{} {} {symbols}", h.token(), h.n_types()));
    match &h.zbl {
        None => {}
        Some(Zbl::Flexible(_)) => line("zbl 0 0".into()),
        Some(Zbl::Universal { inner, outer }) => line(format!("zbl {inner} {outer}")),
        Some(Zbl::Typewise {
            inner,
            outer,
            factor,
        }) => {
            // In the 2024 form the factor stands in the cutoff line, unless the zbl line has its own.
            if matches!(h.cutoff, Cutoff::Typewise { zbl_factor, .. } if zbl_factor == *factor) {
                line(format!("zbl {inner} {outer}"));
            } else {
                line(format!("zbl {inner} {outer} {factor}"));
            }
        }
    }
    let [mn_radial, mn_angular] = h.max_neighbors;
    line(match &h.cutoff {
        Cutoff::Uniform([radial, angular]) => {
            format!("cutoff {radial} {angular} {mn_radial} {mn_angular}")
        }
        Cutoff::PerType(rows) => {
            let rows: String = rows.iter().map(|[r, a]| format!("{r} {a} ")).collect();
            format!("cutoff {rows}{mn_radial} {mn_angular}")
        }
        Cutoff::Typewise {
            global: [radial, angular],
            factor,
            zbl_factor,
        } => format!(
            "cutoff {radial} {angular} {mn_radial} {mn_angular} {} {} {zbl_factor}",
            factor[0], factor[1]
        ),
    });
    line(format!("n_max {} {}", h.n_max[0], h.n_max[1]));
    line(format!(
        "basis_size {} {}",
        h.basis_size[0], h.basis_size[1]
    ));
    line(l_max_line(h.l_max, h.many_body.flags()));
    line(format!("ANN {} {}", h.neurons[0], h.neurons[1]));
    for &x in model.parameters().iter().chain(model.q_scaler()) {
        push_number(&mut out, x);
    }
    if let Some(Zbl::Flexible(rows)) = &h.zbl {
        for &x in rows.iter().flatten() {
            push_number(&mut out, x);
        }
    }
    out
}

/// `l_max` with the first flag as 2 and later flags only as far as needed: the form that GPUMD,
/// calorine and (up to three numbers) NEP_CPU all read alike.
fn l_max_line(l_max: usize, flags: [bool; 6]) -> String {
    let mut text = format!("l_max {l_max}");
    let last = flags
        .iter()
        .rposition(|&on| on)
        .map_or(2, |i| (i + 1).max(2));
    for (index, &on) in flags[..last].iter().enumerate() {
        let value = match (on, index) {
            (false, _) => 0,
            // NEP_CPU ignores every flag after the third number if this one is 2.
            (true, 0) if last <= 2 => 2,
            (true, _) => 1,
        };
        let _ = write!(text, " {value}");
    }
    text
}

/// One number on a line: `%15.7e` where that is exact, all digits otherwise.
fn push_number(out: &mut String, x: f64) {
    let short = c_exponent(&format!("{x:.7e}"));
    if short.parse::<f64>() == Ok(x) {
        let _ = writeln!(out, "{short:>15}");
    } else {
        let _ = writeln!(out, "{:>15}", c_exponent(&format!("{x:e}")));
    }
}

/// Turns Rust's `1.5e-3` into C's `1.5e-03`.
fn c_exponent(text: &str) -> String {
    match text.split_once('e') {
        None => text.to_owned(),
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
    }
}
