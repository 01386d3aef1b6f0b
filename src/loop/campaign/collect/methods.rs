//! The paragraph for a paper's methods section.

use super::super::config::Source;
use super::super::store::RoundRecord;
use super::{Campaign, cite};
use nepal::model::Model;
use std::fmt::Write;

/// What was done, in words that a paper can take, and the works that the numbers in brackets stand for.
pub(super) fn paragraph(
    campaign: &Campaign,
    rounds: &[RoundRecord],
    model: &Model,
    method: &str,
) -> (String, Vec<String>) {
    let config = &campaign.config;
    let works = cite::works(Some(config));
    let number = |key: &str| {
        let found = works.iter().position(|w| w.key == key);
        found.map_or_else(String::new, |k| format!(" [{}]", k + 1))
    };
    let elements: Vec<&str> = model.elements().iter().map(|e| e.symbol()).collect();
    let mut text = format!(
        "A neuroevolution potential{}{} of {} with a cutoff of {} Å and {} parameters was made by active learning with nepal {} (commit {}).",
        number("fan2021nep"),
        number("fan2022gpumd"),
        elements.join(", "),
        model.cutoff(),
        model.parameters().len(),
        env!("CARGO_PKG_VERSION"),
        env!("NEPAL_COMMIT"),
    );
    let cited: Vec<String> = (works.iter().skip(4)).map(|w| number(w.key)).collect();
    let _ = write!(
        text,
        " Reference energies and forces are by {method}{}.",
        cited.concat()
    );
    let _ = write!(
        text,
        " The first structures were {}.",
        sources(&config.initial)
    );
    let runs = || rounds.iter().flat_map(|r| &r.explore);
    if runs().next().is_some() {
        let scenarios: Vec<String> = (config.explore.iter())
            .map(|s| {
                let [from, to] = s.temperature;
                format!(
                    "{} ({}, {}, {from} to {to} K)",
                    s.name,
                    s.way.name(),
                    s.ensemble
                )
            })
            .collect();
        let chosen: usize = rounds
            .iter()
            .flat_map(|r| &r.selection)
            .map(|s| s.selected.len())
            .sum();
        let _ = write!(
            text,
            " In {} rounds the current potential ran {} steps in {}. Environments whose extrapolation grade{}{} (Γ² = γ² + ρ², γ along what the training data span and ρ outside of it) exceeded {} were kept, and runs went back to a known frame above {}; of {} kept environments {chosen} were labelled.",
            rounds.len(),
            runs().map(|e| e.steps).sum::<usize>(),
            scenarios.join("; "),
            number("podryabinkin2017active"),
            number("lysogorskiy2023active"),
            config.grade.save,
            config.grade.break_,
            runs().map(|e| e.candidates).sum::<usize>(),
        );
    }
    if let Some(training) = rounds.iter().rev().find_map(|r| r.training.as_ref()) {
        let _ = write!(
            text,
            " The training set of the last round has {} structures of {} atoms in all.",
            training.structures, training.atoms
        );
    }
    (text, works.iter().map(cite::Work::line).collect())
}

/// Sources in words: how many of what, and what was done to them.
pub(super) fn sources(sources: &[Source]) -> String {
    let words = |source: &Source| {
        let value = serde_json::to_value(source).unwrap_or_default();
        let mut what = String::new();
        let mut done = Vec::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            // What is not said is zero, empty, or one.
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match key.as_str() {
                "prototype" | "file" => what = text,
                "count" | "elements" => {}
                _ if ["0.0", "0", "[]", "[1,1,1]", "false"].contains(&text.as_str()) => {}
                _ => done.push(format!("{} {text}", key.replace('_', " "))),
            }
        }
        let elements = source.elements.join(" ");
        let made = if done.is_empty() {
            String::new()
        } else {
            format!(" ({})", done.join(", "))
        };
        match source.file {
            Some(_) => format!("those of {what}{made}"),
            None => format!("{} of {what} {elements}{made}", source.count),
        }
    };
    let all: Vec<String> = sources.iter().map(words).collect();
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_with_what_was_done_to_them() {
        let source = |text: &str| toml::from_str::<Source>(text).unwrap();
        let list = [
            source(
                "prototype = \"diamond\"\nelements = [\"Si\"]\nlattice = 5.43\nrattle = 0.1\nvacancies = 1\ncount = 4",
            ),
            source("file = \"a.xyz\"\nlabelled = true"),
        ];
        assert_eq!(
            sources(&list),
            "4 of diamond Si (lattice 5.43, rattle 0.1, vacancies 1); those of a.xyz (labelled true)"
        );
    }
}
