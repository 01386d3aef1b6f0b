//! Structures that were asked for already: labelling them again would bring nothing.

use crate::campaign::ground::Context;
use nepal::error::Result;
use nepal::files::fnv1a;
use nepal::system::{Structure, xyz};
use std::collections::BTreeMap;

/// Steps in which positions are compared, Å.
const GRAIN: f64 = 1e-4;

/// Structures that were labelled, refused a label, or offered before.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Why a structure is not to be chosen, by its key.
    seen: BTreeMap<u64, &'static str>,
}

impl Asked {
    /// All structures that were handed over for labelling up to a round.
    pub fn before(context: &Context<'_>) -> Result<Self> {
        let mut asked = Self::default();
        for round in 0..=context.round {
            let names = ["to-label.xyz", "to-label-test.xyz"];
            for path in names.map(|name| context.of(round).path(name)) {
                if path.exists() {
                    for frame in xyz::read_frames(path)? {
                        asked.seen.insert(key(&frame.structure), "asked for before");
                    }
                }
            }
        }
        Ok(asked)
    }

    /// Why this structure is not new, if it is not; it is known from now on.
    pub fn meet(&mut self, structure: &Structure) -> Option<&'static str> {
        let key = key(structure);
        let old = self.seen.get(&key).copied();
        if old.is_none() {
            self.seen.insert(key, "the same structure twice");
        }
        old
    }
}

/// A hash of cell, elements and wrapped positions, to [`GRAIN`].
fn key(structure: &Structure) -> u64 {
    let mut bytes = Vec::with_capacity(16 * structure.len());
    let mut add = |x: f64| bytes.extend_from_slice(&((x / GRAIN).round() as i64).to_le_bytes());
    for x in structure.cell.vectors().as_flattened() {
        add(*x);
    }
    for (element, r) in structure.elements.iter().zip(&structure.positions) {
        add(element.number() as f64);
        // Positions at a face may be on either side of it: compare what they are modulo the cell.
        let mut s = structure.cell.fractional(*r);
        for (x, periodic) in s.iter_mut().zip(structure.cell.periodic()) {
            if periodic {
                *x -= x.floor();
                if 1.0 - *x < 1e-9 {
                    *x = 0.0;
                }
            }
        }
        for x in structure.cell.cartesian(s) {
            add(x);
        }
    }
    fnv1a(&bytes)
}
