//! Structures over the compositions of a few elements.

use super::Source;
use crate::explore::alloy::{self, Occupancy};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::{Deserialize, Serialize};

/// Elements that mix on the sites of a source's structure: one structure for each composition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Composition {
    /// The elements; sites that hold any of them are those that they mix on.
    pub elements: Vec<String>,
    /// Compositions on a grid with this step, such as 0.125, pure elements included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Instead of a grid: so many compositions, spread evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
    /// Instead of both: these, as fractions in the order of the elements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<Vec<f64>>,
    /// `quasi-random` (pairs of three shells as in a random alloy) or `random`.
    #[serde(default)]
    pub occupancy: Occupancy,
    /// Lattice constant of each element, Å: the source's structure, which has that of its `lattice`, is scaled to their
    /// mean at each composition (Vegard's rule).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lattices: Vec<f64>,
    /// Of a scenario: further walkers of later rounds, at new compositions where the grades of the last round were high.
    #[serde(default)]
    pub adaptive: usize,
}

impl Composition {
    pub(super) fn check(&self, source: &Source) -> Result<()> {
        let bad = |message: &str| Err(Error::invalid(format!("composition: {message}")));
        let kinds = self.kinds()?;
        let mut single = kinds.clone();
        single.sort();
        single.dedup();
        if kinds.len() < 2 || single.len() != kinds.len() {
            return bad("expected at least two elements, each once");
        }
        let forms = [
            self.step.is_some(),
            self.points.is_some(),
            !self.at.is_empty(),
        ];
        if forms.iter().filter(|f| **f).count() != 1 || self.points == Some(0) {
            return bad(
                "expected one of step = 0.125 (a grid), points = 20 (spread evenly) and at = [[0.5, 0.5]]",
            );
        }
        if !self.lattices.is_empty() {
            let good = self.lattices.iter().all(|a| (0.5..100.0).contains(a));
            if self.lattices.len() != kinds.len() || !good || !(source.lattice > 0.0) {
                return bad(
                    "lattices: expected a lattice constant (Å) for each element, and a prototype with lattice",
                );
            }
        }
        if source.labelled {
            return bad("structures that are made have no labels: remove labelled = true");
        }
        Ok(())
    }

    /// The elements.
    pub(in crate::campaign) fn kinds(&self) -> Result<Vec<Element>> {
        self.elements
            .iter()
            .map(|s| Element::from_symbol(s))
            .collect()
    }

    /// Sites of a structure that the elements mix on.
    ///
    /// **Errors**: [`Error::InvalidArgument`] without any.
    pub(in crate::campaign) fn sites(&self, structure: &Structure) -> Result<Vec<usize>> {
        let kinds = self.kinds()?;
        let held = structure.elements.iter().enumerate();
        let sites: Vec<usize> = held
            .filter(|(_, e)| kinds.contains(e))
            .map(|(i, _)| i)
            .collect();
        match sites.is_empty() {
            true => Err(Error::invalid(format!(
                "composition: no site of the structure holds {}; name one of them in the source's elements",
                self.elements.join(" or ")
            ))),
            false => Ok(sites),
        }
    }

    /// The compositions as numbers of atoms on so many sites.
    ///
    /// **Errors**: those of a composition that no cell of the size allows.
    pub(in crate::campaign) fn counts(&self, sites: usize) -> Result<Vec<Vec<usize>>> {
        let parts = self.elements.len();
        match (self.step, self.points) {
            (Some(step), _) => alloy::grid(step, sites, parts),
            (_, Some(points)) => Ok(alloy::spread(points, sites, parts)),
            _ => self
                .at
                .iter()
                .map(|x| alloy::exact(x, sites, parts))
                .collect(),
        }
    }

    /// The same at one composition alone.
    pub(in crate::campaign) fn only(&self, counts: &[usize]) -> Self {
        let sites: usize = counts.iter().sum();
        Self {
            step: None,
            points: None,
            at: vec![counts.iter().map(|&n| n as f64 / sites as f64).collect()],
            ..self.clone()
        }
    }

    /// A structure with its sites occupied.
    ///
    /// **Errors**: those of the sites.
    pub(in crate::campaign) fn mixed(
        &self,
        structure: &Structure,
        lattice: f64,
        counts: &[usize],
        seed: u64,
    ) -> Result<Structure> {
        let sites = self.sites(structure)?;
        let pairs: Vec<(Element, usize)> = self
            .kinds()?
            .into_iter()
            .zip(counts.iter().copied())
            .collect();
        let mixed = alloy::occupy(structure, &sites, &pairs, self.occupancy, seed)?;
        if self.lattices.is_empty() {
            return Ok(mixed);
        }
        let mean = self
            .lattices
            .iter()
            .zip(counts)
            .map(|(a, &n)| a * n as f64)
            .sum::<f64>();
        let e = mean / sites.len() as f64 / lattice - 1.0;
        mixed.strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
    }
}
