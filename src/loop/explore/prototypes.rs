//! Crystal structures by name: a table of space groups and sites, one of each orbit.
//!
//! The symmetry makes the other sites. Sites and groups are facts of the International Tables; the parameters left
//! free are ideal ones: close packing, regular tetrahedra and octahedra.

use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::cell::norm;
use nepal::system::{Cell, Structure};

/// c/a of a close packing, √(8/3).
const CLOSE: f64 = 1.632_993_161_855_452;
/// 1/√2.
const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
const O: [f64; 3] = [0.0; 3];
const CENTRE: [f64; 3] = [0.5; 3];
const QUARTER: [f64; 3] = [0.25; 3];
const THIRD: f64 = 1.0 / 3.0;

/// A site: the number of its element, its place, and how far it moves with the free parameter u.
type Site = (usize, [f64; 3], [f64; 3]);

/// A structure, in the standard setting of its group.
struct Prototype {
    name: &'static str,
    /// What it looks like, as a hint for the order of the elements.
    like: &'static str,
    group: i32,
    /// The fewest elements that it takes; the sites of those that are missing get the last.
    least: usize,
    c_over_a: f64,
    u: f64,
    sites: &'static [Site],
}

const fn fixed(element: usize, place: [f64; 3]) -> Site {
    (element, place, O)
}

const fn row(
    name: &'static str,
    like: &'static str,
    (group, least): (i32, usize),
    (c_over_a, u): (f64, f64),
    sites: &'static [Site],
) -> Prototype {
    Prototype {
        name,
        like,
        group,
        least,
        c_over_a,
        u,
        sites,
    }
}

/// Cubic ones have c/a = 1; u is zero where nothing is free.
static TABLE: [Prototype; 28] = [
    row(
        "diamond",
        "C or ZnS",
        (216, 1),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, QUARTER)],
    ),
    row("bcc", "W", (229, 1), (1.0, 0.0), &[fixed(0, O)]),
    row("fcc", "Cu", (225, 1), (1.0, 0.0), &[fixed(0, O)]),
    row("sc", "Po", (221, 1), (1.0, 0.0), &[fixed(0, O)]),
    row(
        "rocksalt",
        "NaCl",
        (225, 1),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, CENTRE)],
    ),
    row(
        "cscl",
        "CsCl",
        (221, 1),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, CENTRE)],
    ),
    row(
        "hcp",
        "Mg",
        (194, 1),
        (CLOSE, 0.0),
        &[fixed(0, [THIRD, 2.0 * THIRD, 0.25])],
    ),
    row(
        "simple-hexagonal",
        "Si V",
        (191, 1),
        (1.0, 0.0),
        &[fixed(0, O)],
    ),
    // The c/a at which all six neighbours are at one distance, 2/√15.
    row(
        "beta-tin",
        "Sn",
        (141, 1),
        (0.516_397_779_494_322_2, 0.0),
        &[fixed(0, [0.0, 0.75, 0.125])],
    ),
    row(
        "graphite",
        "C",
        (194, 1),
        (2.726, 0.0),
        &[
            fixed(0, [0.0, 0.0, 0.25]),
            fixed(0, [THIRD, 2.0 * THIRD, 0.25]),
        ],
    ),
    row(
        "omega",
        "Ti",
        (191, 1),
        (0.612_372_435_695_794_5, 0.0),
        &[fixed(0, O), fixed(1, [THIRD, 2.0 * THIRD, 0.5])],
    ),
    row(
        "zincblende",
        "ZnS",
        (216, 2),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, QUARTER)],
    ),
    row(
        "wurtzite",
        "ZnO",
        (186, 1),
        (CLOSE, 0.375),
        &[
            fixed(0, [THIRD, 2.0 * THIRD, 0.0]),
            (1, [THIRD, 2.0 * THIRD, 0.0], [0.0, 0.0, 1.0]),
        ],
    ),
    row(
        "nias",
        "NiAs",
        (194, 2),
        (CLOSE, 0.0),
        &[fixed(0, O), fixed(1, [THIRD, 2.0 * THIRD, 0.25])],
    ),
    row(
        "h-bn",
        "BN",
        (194, 2),
        (2.66, 0.0),
        &[
            fixed(0, [THIRD, 2.0 * THIRD, 0.25]),
            fixed(1, [THIRD, 2.0 * THIRD, 0.75]),
        ],
    ),
    row(
        "b2",
        "NiAl",
        (221, 2),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, CENTRE)],
    ),
    row(
        "l1_0",
        "AuCu",
        (123, 1),
        (1.0, 0.0),
        &[
            fixed(0, O),
            fixed(0, [0.5, 0.5, 0.0]),
            fixed(1, [0.0, 0.5, 0.5]),
        ],
    ),
    row(
        "l1_2",
        "Cu3Au",
        (221, 1),
        (1.0, 0.0),
        &[fixed(0, [0.0, 0.5, 0.5]), fixed(1, O)],
    ),
    row(
        "d0_3",
        "Fe3Al",
        (225, 1),
        (1.0, 0.0),
        &[fixed(0, CENTRE), fixed(0, QUARTER), fixed(1, O)],
    ),
    row(
        "a15",
        "Nb3Sn",
        (223, 1),
        (1.0, 0.0),
        &[fixed(0, [0.25, 0.0, 0.5]), fixed(1, O)],
    ),
    row(
        "fluorite",
        "CaF2",
        (225, 2),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, QUARTER)],
    ),
    row(
        "antifluorite",
        "Li2O",
        (225, 2),
        (1.0, 0.0),
        &[fixed(0, QUARTER), fixed(1, O)],
    ),
    // Regular octahedra at c/a = 2 - √2.
    row(
        "rutile",
        "TiO2",
        (136, 2),
        (2.0 - 2.0 * HALF_ROOT, 1.0 - HALF_ROOT),
        &[fixed(0, O), (1, O, [1.0, 1.0, 0.0])],
    ),
    row(
        "corundum",
        "Al2O3",
        (167, 2),
        (4.0 * HALF_ROOT, THIRD),
        &[
            fixed(0, [0.0, 0.0, THIRD]),
            (1, [0.0, 0.0, 0.25], [1.0, 0.0, 0.0]),
        ],
    ),
    row(
        "perovskite",
        "CaTiO3",
        (221, 3),
        (1.0, 0.0),
        &[fixed(0, O), fixed(1, CENTRE), fixed(2, [0.0, 0.5, 0.5])],
    ),
    row(
        "chalcopyrite",
        "CuFeS2",
        (122, 3),
        (2.0, 0.25),
        &[
            fixed(0, O),
            fixed(1, [0.0, 0.0, 0.5]),
            (2, [0.0, 0.25, 0.125], [1.0, 0.0, 0.0]),
        ],
    ),
    row(
        "spinel",
        "MgAl2O4",
        (227, 3),
        (1.0, 0.25),
        &[fixed(0, [0.125; 3]), fixed(1, CENTRE), (2, O, [1.0; 3])],
    ),
    row(
        "heusler",
        "Cu2MnAl",
        (225, 3),
        (1.0, 0.0),
        &[fixed(0, QUARTER), fixed(1, CENTRE), fixed(2, O)],
    ),
];

/// The names that [`crystal`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|p| p.name)
}

/// Lattice and free parameters of a crystal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Lattice constant, Å.
    pub a: f64,
    /// Of the hexagonal and tetragonal ones; the ideal value unless given.
    pub c_over_a: Option<f64>,
    /// Free coordinate of a site (wurtzite, rutile, corundum, chalcopyrite, spinel); the ideal value unless given.
    pub u: Option<f64>,
}

impl Prototype {
    fn species(&self) -> usize {
        self.sites.iter().map(|s| s.0 + 1).max().unwrap_or(0)
    }

    fn cell(&self, given: &Parameters) -> Result<Cell> {
        let (a, ratio) = (given.a, given.c_over_a.unwrap_or(self.c_over_a));
        if given.c_over_a.is_some() && self.group >= 195 {
            return Err(Error::invalid(format!(
                "{} is cubic: leave out c_over_a",
                self.name
            )));
        }
        if given.u.is_some() && self.u == 0.0 {
            return Err(Error::invalid(format!(
                "{} has no free site: leave out u",
                self.name
            )));
        }
        if !(ratio > 0.0 && ratio.is_finite()) {
            return Err(Error::invalid(format!(
                "c_over_a: expected a positive number (ideal for {}: {:.4}), found {ratio}",
                self.name, self.c_over_a
            )));
        }
        match self.group {
            143..=194 => Cell::new(
                [
                    [a, 0.0, 0.0],
                    [-0.5 * a, 0.75f64.sqrt() * a, 0.0],
                    [0.0, 0.0, ratio * a],
                ],
                [true; 3],
            ),
            _ => Cell::orthorhombic([a, a, ratio * a]),
        }
    }
}

/// A crystal: its conventional cell, repeated.
///
/// **Errors**: [`Error::InvalidArgument`] for an unknown prototype, a number of elements that it does not take, or
/// parameters that are not positive or not its own.
pub fn crystal(
    prototype: &str,
    elements: &[Element],
    given: &Parameters,
    repeat: [usize; 3],
) -> Result<Structure> {
    // L12, L1_2 and l1_2 are one.
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-', ' '], "");
    let wanted = plain(prototype);
    let found = TABLE.iter().find(|p| plain(p.name) == wanted);
    let found = found.ok_or_else(|| {
        let names: Vec<&str> = names().collect();
        Error::invalid(format!(
            "unknown prototype {prototype:?}; allowed are {} and packing; others as a structure file",
            names.join(", ")
        ))
    })?;
    let species = found.species();
    if !(found.least..=species).contains(&elements.len()) {
        let count = match found.least {
            least if least == species => species.to_string(),
            least => format!("{least} to {species}"),
        };
        return Err(Error::invalid(format!(
            "{prototype} takes {count} element(s), in the order of {}; found {}",
            found.like,
            elements.len()
        )));
    }
    let cell = found.cell(given)?;
    let u = given.u.unwrap_or(found.u);
    let (mut kinds, mut positions) = (Vec::new(), Vec::new());
    for (element, place, along) in found.sites {
        let site: [f64; 3] = std::array::from_fn(|a| place[a] + u * along[a]);
        for place in symmetry::orbit(found.group, site)? {
            kinds.push(elements[(*element).min(elements.len() - 1)]);
            positions.push(cell.cartesian(place));
        }
    }
    Structure::new(cell, kinds, positions)?.repeated(repeat)
}

/// Space groups, in their standard settings.
pub(super) mod symmetry {
    use super::{Error, Result, norm};
    use moyo::data::{HallSymbol, Setting};

    /// Two sites closer than this part of the cell are one.
    const SAME: f64 = 1e-6;

    /// Rotation and translation of each operation of a group, centring included.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a number beyond 1 to 230.
    pub fn operations(group: i32) -> Result<Vec<([[i32; 3]; 3], [f64; 3])>> {
        let symbol = (1..=230)
            .contains(&group)
            .then(|| Setting::Standard.hall_number(group))
            .flatten()
            .and_then(HallSymbol::from_hall_number)
            .ok_or_else(|| {
                Error::invalid(format!("space groups go from 1 to 230, found {group}"))
            })?;
        // What is traversed is up to the translations of the centring.
        let centring = symbol.centering.lattice_points();
        let all = symbol.traverse();
        let all = all.iter().flat_map(|o| {
            let moved = o.translation_as_array();
            centring.iter().map(move |c| {
                let both = std::array::from_fn(|a| moved[a] + c[a]);
                (o.rotation_as_array(), both)
            })
        });
        Ok(all.collect())
    }

    /// All places of a site, in order, each once and within the cell.
    pub fn orbit(group: i32, site: [f64; 3]) -> Result<Vec<[f64; 3]>> {
        let mut places: Vec<[f64; 3]> = Vec::new();
        for (r, t) in operations(group)? {
            let place: [f64; 3] = std::array::from_fn(|a| {
                let x = (0..3).map(|b| f64::from(r[a][b]) * site[b]).sum::<f64>() + t[a];
                let x = x - x.floor();
                // What is one but for rounding is zero.
                if x > 1.0 - SAME { 0.0 } else { x }
            });
            let same = |p: &[f64; 3]| {
                let between: [f64; 3] = std::array::from_fn(|a| p[a] - place[a]);
                norm(between.map(|x| x - x.round())) < SAME
            };
            if !places.iter().any(same) {
                places.push(place);
            }
        }
        let key = |p: &[f64; 3]| p.map(|x| (x / SAME).round() as i64);
        places.sort_by_key(key);
        Ok(places)
    }
}

#[cfg(test)]
mod tests;
