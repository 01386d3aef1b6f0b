//! Properties of crystals by labels of their cells: tables, E(V), frequencies.

use super::plots::series;
use super::tables::properties;
use super::{Sheet, slug};
use crate::campaign::properties::CrystalRecord;
use crate::plot::{Mark, Plot};
use maud::{Markup, html};

/// All crystals, each with its table and plots.
pub fn render(data: &Sheet<'_>) -> Markup {
    html! {
        @for crystal in data.validation.iter().flat_map(|v| &v.crystals) {
            h3 { (crystal.name) }
            p {
                (crystal.labels) " labels of cells around where the model has the crystal at rest; both methods' numbers come from the same cells."
            }
            (properties("property", &crystal.properties))
            @for note in &crystal.notes { p { "But " (note) "." } }
            (super::page::figures(&html! { (energies(data, crystal)) (phonons(data, crystal)) }))
        }
    }
}

fn file() -> [String; 1] {
    ["final/validation.json".to_owned()]
}

fn energies(data: &Sheet<'_>, crystal: &CrystalRecord) -> Markup {
    let curve = |k: usize| crystal.energies.iter().map(|p| (p[0], p[k])).collect();
    let plot = Plot {
        x: "volume (Å³/atom)".into(),
        y: "energy (eV/atom)".into(),
        size: (520, 320),
        series: vec![
            series("reference method", 0, Mark::Dots, curve(1)),
            series("model", 1, Mark::Dots, curve(2)),
        ],
        ..Plot::default()
    };
    data.figure(
        &format!("state-{}", slug(&crystal.name)),
        &plot,
        &format!(
            "Equation of state of {}, atoms inside relaxed by the model.",
            crystal.name
        ),
        &file(),
    )
}

fn phonons(data: &Sheet<'_>, crystal: &CrystalRecord) -> Markup {
    let Some(rmse) = crystal.frequency_rmse() else {
        return Markup::default();
    };
    let points: Vec<(f64, f64)> = (crystal.phonons.iter())
        .flat_map(|p| p.reference.iter().copied().zip(p.model.iter().copied()))
        .collect();
    let ends = || points.iter().flat_map(|p| [p.0, p.1]);
    let low = ends().fold(f64::INFINITY, f64::min);
    let high = ends().fold(f64::NEG_INFINITY, f64::max);
    let plot = Plot {
        x: "reference frequency (THz)".into(),
        y: "model frequency (THz)".into(),
        size: (520, 420),
        series: vec![
            series("", 0, Mark::Points, points.clone()),
            series("", 0, Mark::Level, vec![(low, low), (high, high)]),
        ],
        ..Plot::default()
    };
    let vectors: Vec<String> = (crystal.phonons.iter())
        .map(|p| format!("({} {} {})", p.q[0], p.q[1], p.q[2]))
        .collect();
    data.figure(
        &format!("phonons-{}", slug(&crystal.name)),
        &plot,
        &format!(
            "Phonons of {} at the wave vectors {} of the cell, without the long-range field of charges; RMSE {rmse:.3} THz. Imaginary frequencies are negative.",
            crystal.name,
            vectors.join(", ")
        ),
        &file(),
    )
}
