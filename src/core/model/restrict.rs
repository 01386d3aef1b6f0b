//! The part of a model that some of its elements need.

use super::{Cutoff, Layout, Model, Zbl};
use crate::element::Element;
use crate::error::{Error, Result};

impl Model {
    /// The model of some of its elements, in the order given: on structures of these it says what
    /// the whole model says. A model of few elements can so start from a foundation model of many.
    ///
    /// **Errors**: [`crate::Error::InvalidArgument`] for an element that the model does not know;
    /// [`Error::InvalidArgument`] for none, or one named twice.
    pub fn restricted_to(&self, elements: &[Element]) -> Result<Self> {
        let old: Vec<usize> = (elements.iter())
            .map(|e| self.type_of(*e).map(|t| t as usize))
            .collect::<Result<_>>()?;
        let twice = (0..old.len()).any(|i| old[..i].contains(&old[i]));
        if old.is_empty() || twice {
            return Err(Error::invalid(
                "a part of a model needs at least one element and each once",
            ));
        }
        let n = self.elements().len();
        let mut header = self.header().clone();
        header.elements = elements.to_vec();
        if let Cutoff::PerType(rc) = &mut header.cutoff {
            *rc = old.iter().map(|&t| rc[t]).collect();
        }
        if let Some(Zbl::Flexible(rows)) = &mut header.zbl {
            let row = |a: usize, b: usize| {
                let (low, high) = (a.min(b), a.max(b));
                rows[low * n - low * (low + 1) / 2 + high]
            };
            *rows = (0..old.len())
                .flat_map(|i| (i..old.len()).map(move |j| (i, j)))
                .map(|(i, j)| row(old[i], old[j]))
                .collect();
        }
        let (from, to) = (self.layout(), Layout::new(&header));
        let mut parameters = vec![0.0; to.len()];
        // The networks of the tensor or energy, then those of a scalar part.
        for (to_offset, from_offset) in [(Some(0), Some(0)), (to.scalar(), from.scalar())] {
            let (Some(a), Some(b)) = (to_offset, from_offset) else {
                continue;
            };
            let (to_block, from_block) = (&mut parameters[a..], &self.parameters()[b..]);
            for network in 0..to.n_networks {
                to_block[to.network(network)..][..to.network_len]
                    .copy_from_slice(&from_block[from.network(old[network])..][..to.network_len]);
            }
            to_block[to.common_bias()] = from_block[from.common_bias()];
        }
        if let (Some(a), Some(b)) = (to.dielectric(), from.dielectric()) {
            parameters[a] = self.parameters()[b];
        }
        for part in 0..2 {
            for i in 0..to.n_radial[part] {
                for k in 0..to.n_basis[part] {
                    for (a, &old_a) in old.iter().enumerate() {
                        for (b, &old_b) in old.iter().enumerate() {
                            parameters[to.coefficient(part, i, k, a, b)] =
                                self.parameters()[from.coefficient(part, i, k, old_a, old_b)];
                        }
                    }
                }
            }
        }
        Self::new(header, parameters, self.q_scaler().to_vec())
    }
}
