//! Looks whether everything can be done that will be paid for: before the first label, and again when what it looked
//! at changed.

use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::{hash_bytes, hash_file, hash_json};
use crate::campaign::sources;
use crate::campaign::store::write_json;
use crate::campaign::{Config, Source};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeSet;

/// Atoms closer than this part of the sum of their covalent radii are no structure that a method can take.
const CLOSE: f64 = 0.3;
/// Structures beyond this many atoms are not searched for close atoms: they are repeated cells.
const SEARCHED: usize = 300;

/// The crystals whose properties are labelled at the end.
fn crystals(config: &Config) -> impl Iterator<Item = &Source> {
    let validate = config.validate.as_ref();
    validate
        .into_iter()
        .flat_map(|v| &v.properties)
        .flat_map(|p| &p.crystals)
}

/// The look ahead.
pub(in crate::campaign) struct Check;

impl Step for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let campaign = context.campaign;
        let config = &campaign.config;
        let starts = config
            .explore
            .iter()
            .map(|s| (&s.start, s.strain, &s.ladder));
        let mut files: Vec<String> = config
            .explore
            .iter()
            .map(|s| &s.start)
            .chain(crystals(config))
            .flat_map(|s| s.files().map(std::path::PathBuf::as_path))
            .chain(config.explore.iter().filter_map(|s| s.way.file()))
            .map(|file| hash_file(&campaign.base.join(file)))
            .collect::<Result<_>>()?;
        files.extend(crystals(config).map(|c| hash_json(&c)));
        let inputs = (
            hash_file(&context.path("to-label.xyz"))?,
            hash_file(&context.path("to-label-test.xyz"))?,
            hash_bytes(campaign.labeller()?.settings().as_bytes()),
            starts.collect::<Vec<_>>(),
            files,
            &config.model.nep_in,
            config.select.whole_cell_atoms,
        );
        Ok(hash_json(&inputs))
    }

    fn work(&self, context: &Context<'_>, _observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let config = &campaign.config;
        let mut looked = 0;
        for name in ["to-label.xyz", "to-label-test.xyz"] {
            for (number, frame) in nepal::system::xyz::read_frames(context.path(name))?
                .iter()
                .enumerate()
            {
                let info = |key: &str| frame.info.get(key).map_or("", String::as_str);
                let number = info("number").parse().unwrap_or(number);
                let who = format!("{}, structure {}", info("origin"), number + 1);
                let label = info("label_source") != "file";
                self.look(context, &who, &frame.structure, label)?;
                looked += 1;
            }
        }
        for scenario in &config.explore {
            let who = format!("the start of the scenario {}", scenario.name);
            let source = std::slice::from_ref(&scenario.start);
            let way = scenario.way.clone().within(&campaign.base);
            for frame in sources::frames(source, &campaign.base, config.seed, &scenario.name)? {
                for stage in 0..=scenario.ladder.len() {
                    let start = scenario
                        .stage(stage)
                        .strained(&frame.structure)
                        .map_err(|e| Error::invalid(format!("{who}: {e}")))?;
                    // Fragments are cut from larger ones, in cells of their own.
                    let label = start.len() <= config.select.whole_cell_atoms;
                    self.look(context, &who, &start, label && stage == 0)?;
                    way.check_start(&start)
                        .map_err(|e| Error::invalid(format!("{who}: {e}")))?;
                    looked += 1;
                }
            }
        }
        for (number, crystal) in crystals(config).enumerate() {
            let who = format!("crystal {} of [validate.properties]", number + 1);
            let source = std::slice::from_ref(crystal);
            for frame in sources::frames(source, &campaign.base, config.seed, "properties")? {
                self.look(context, &who, &frame.structure, true)?;
                looked += 1;
            }
        }
        write_json(&context.path("checked.json"), &looked)?;
        Ok(vec![context.relative("checked.json")])
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }
}

impl Check {
    /// Looks at a structure; with `label` also whether the method takes it.
    fn look(&self, context: &Context<'_>, who: &str, s: &Structure, label: bool) -> Result<()> {
        let known = &context.campaign.nep_in.elements;
        let strange: BTreeSet<&str> = (s.elements.iter())
            .filter(|e| !known.contains(e))
            .map(|e| e.symbol())
            .collect();
        if !strange.is_empty() {
            let known: Vec<&str> = known.iter().copied().map(Element::symbol).collect();
            return Err(Error::invalid(format!(
                "{who} has the elements {}, which `type` in [model] nep_in does not name (it has {}); add them there, \
                 or correct the structure",
                strange.into_iter().collect::<Vec<_>>().join(", "),
                known.join(", ")
            )));
        }
        if s.len() <= SEARCHED
            && let Some((a, b, distance)) = closest(s)
        {
            let radii = s.elements[a].covalent_radius() + s.elements[b].covalent_radius();
            return Err(Error::invalid(format!(
                "{who}: the atoms {} and {} are {distance:.3} Å apart; expected at least {:.2} Å ({CLOSE} of the sum of \
                 their covalent radii); correct the lattice constant or the positions",
                a + 1,
                b + 1,
                CLOSE * radii
            )));
        }
        if !label {
            return Ok(());
        }
        let labeller = context.campaign.labeller()?;
        let folder =
            tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), e))?;
        labeller
            .prepare(s, 0, folder.path())
            .map_err(|e| Error::invalid(format!("{who} is nothing that can be labelled: {e}")))?;
        Ok(())
    }
}

/// Two atoms that are too close and their distance, images in the first shell of cells included.
fn closest(s: &Structure) -> Option<(usize, usize, f64)> {
    let cell = &s.cell;
    let shifts: Vec<[f64; 3]> = {
        let range = |d: usize| if cell.periodic()[d] { -1..=1 } else { 0..=0 };
        let mut all = Vec::new();
        for i in range(0) {
            for j in range(1) {
                for k in range(2) {
                    all.push(cell.cartesian([f64::from(i), f64::from(j), f64::from(k)]));
                }
            }
        }
        all
    };
    let inside: Vec<[f64; 3]> = s.positions.iter().map(|&r| cell.wrap(r)).collect();
    for a in 0..inside.len() {
        for b in a..inside.len() {
            for t in &shifts {
                let d: f64 = (0..3)
                    .map(|k| (inside[b][k] + t[k] - inside[a][k]).powi(2))
                    .sum::<f64>()
                    .sqrt();
                let itself = a == b && t.iter().all(|x| *x == 0.0);
                let radii = s.elements[a].covalent_radius() + s.elements[b].covalent_radius();
                if !itself && d < CLOSE * radii {
                    return Some((a, b, d));
                }
            }
        }
    }
    None
}
