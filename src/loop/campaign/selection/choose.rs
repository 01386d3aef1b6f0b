//! Choosing among groups: one loop for all methods, with anchors, quotas, duplicates and coverage.

use super::gain::{Known, Row, dot};
use super::pool::Group;
use super::volume;
use crate::explore::random::generator;
use nepal::error::Result;
use nepal::grade::{ActiveSet, Help};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How structures are chosen for labelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The largest D-optimal gain of all of a structure's novel environments, per cost of its label.
    #[default]
    DOptimal,
    /// The largest grade.
    Grade,
    /// The most environments among the rows of largest volume.
    Maxvol,
    /// The environment farthest from all that is known or chosen.
    FarthestPoint,
    /// At random: the baseline.
    Random,
    /// At random with ALmoMD's probability: uncertain and energetically viable.
    Almomd,
    /// The largest force deviation, which a posterior wrote into the frames.
    Sigma,
}

impl Method {
    /// Names as in a campaign file.
    pub const NAMES: [&str; 7] = [
        "d-optimal",
        "grade",
        "maxvol",
        "farthest-point",
        "random",
        "almomd",
        "sigma",
    ];
    const ALL: [Self; 7] = [
        Self::DOptimal,
        Self::Grade,
        Self::Maxvol,
        Self::FarthestPoint,
        Self::Random,
        Self::Almomd,
        Self::Sigma,
    ];
}

impl std::str::FromStr for Method {
    type Err = nepal::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::NAMES.iter().position(|known| *known == name) {
            Some(at) => Ok(Self::ALL[at]),
            None => Err(nepal::Error::invalid(format!(
                "unknown method of selection {name:?}; expected {}",
                Self::NAMES.join(", ")
            ))),
        }
    }
}

/// The rules of one round's choice.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub method: Method,
    /// Most structures.
    pub max: usize,
    /// Grade from which an environment is worth a label.
    pub threshold: f64,
    /// Two rows are one environment if they differ by less than this part of their length.
    pub duplicate: f64,
    /// Whether each scenario with candidates gets one before the rest goes by score.
    pub anchors: bool,
    /// Most structures of a scenario.
    pub quotas: BTreeMap<String, usize>,
    pub seed: u64,
}

/// A group that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// Number of the group.
    pub group: usize,
    /// Largest grade when it was chosen, those before it being known.
    pub grade: f64,
    /// What the method ranks by.
    pub score: f64,
}

/// Chosen groups, best first, and why others were left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub choices: Vec<Choice>,
    pub left_out: BTreeMap<String, usize>,
}

/// Chooses. `worth` belongs to each group: its probability for [`Method::Almomd`], its deviation for
/// [`Method::Sigma`]. The help of a device is used by [`Method::Maxvol`].
pub(super) fn choose(
    set: &ActiveSet,
    groups: &[Group],
    worth: &[f64],
    rules: &Rules,
    help: Help<'_>,
) -> Result<Chosen> {
    let mut pool = Pool::new(set, groups, rules)?;
    if rules.method == Method::Almomd {
        pool.draw(worth);
    }
    if rules.method == Method::Sigma {
        pool.lots = worth.to_vec();
    }
    if rules.method == Method::Maxvol {
        let ranks: Vec<usize> = (0..set.elements().len()).map(|t| set.rank(t)).collect();
        pool.volumes = volume::counts(&ranks, groups, help)?;
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    while pool.chosen.choices.len() < rules.max {
        let within = |g: usize| {
            let name = groups[g].scenario.as_str();
            let quota = rules.quotas.get(name).copied().unwrap_or(usize::MAX);
            taken.get(name).copied().unwrap_or(0) < quota
        };
        let mut allowed: Vec<usize> = pool.open.iter().copied().filter(|&g| within(g)).collect();
        if rules.anchors {
            let first: Vec<usize> = allowed
                .iter()
                .copied()
                .filter(|&g| !taken.contains_key(groups[g].scenario.as_str()))
                .collect();
            if !first.is_empty() {
                allowed = first;
            }
        }
        let Some((g, score)) = pool.best(&allowed) else {
            break;
        };
        *taken.entry(groups[g].scenario.as_str()).or_default() += 1;
        pool.take(g, score)?;
    }
    Ok(pool.finish(&taken))
}

/// Groups with what their rows still are worth.
struct Pool<'a> {
    groups: &'a [Group],
    rules: &'a Rules,
    set: ActiveSet,
    known: Known,
    open: BTreeSet<usize>,
    /// Grade of each row under what is known now.
    grades: Vec<Vec<f64>>,
    /// Rows that a chosen group has as well.
    seen: Vec<Vec<bool>>,
    /// Distance of each row from what is known.
    distances: Vec<Vec<f64>>,
    /// Upper bounds of the gain per cost: what it was when last computed.
    bounds: Vec<f64>,
    /// Rows in the largest volume.
    volumes: Vec<usize>,
    /// A random number of each group, or its deviation.
    lots: Vec<f64>,
    chosen: Chosen,
}

impl<'a> Pool<'a> {
    fn new(set: &ActiveSet, groups: &'a [Group], rules: &'a Rules) -> Result<Self> {
        let mut rng = generator(rules.seed, 7);
        let mut pool = Self {
            groups,
            rules,
            set: set.clone(),
            known: Known::default(),
            open: (0..groups.len()).collect(),
            grades: Vec::new(),
            seen: groups.iter().map(|g| vec![false; g.rows.len()]).collect(),
            distances: groups
                .iter()
                .map(|g| g.rows.iter().map(|r| from_active(set, r)).collect())
                .collect(),
            bounds: vec![f64::INFINITY; groups.len()],
            volumes: Vec::new(),
            lots: groups.iter().map(|_| rng.random()).collect(),
            chosen: Chosen::default(),
        };
        for g in 0..groups.len() {
            let grades = pool.grade(g)?;
            pool.grades.push(grades);
        }
        Ok(pool)
    }

    fn grade(&self, g: usize) -> Result<Vec<f64>> {
        let group = &self.groups[g];
        let mut grades = Vec::with_capacity(group.rows.len());
        for (row, feature) in group.rows.iter().zip(&group.features) {
            grades.push(self.set.grade_rows(row.t, feature)?[0].total);
        }
        Ok(grades)
    }

    fn largest(&self, g: usize) -> f64 {
        self.grades[g].iter().copied().fold(0.0, f64::max)
    }

    /// Whether a group that was beyond the threshold is so no more; others are there for another reason.
    fn is_covered(&self, g: usize) -> bool {
        let limit = self.rules.threshold;
        self.groups[g].grade > limit && self.largest(g) <= limit
    }

    fn close(&mut self, g: usize, why: &str) {
        if self.open.remove(&g) {
            *self.chosen.left_out.entry(why.into()).or_default() += 1;
        }
    }

    /// Closes what its probability does not draw.
    fn draw(&mut self, probability: &[f64]) {
        let mut rng = generator(self.rules.seed, 8);
        for (g, p) in probability.iter().enumerate().take(self.groups.len()) {
            let draw: f64 = rng.random();
            if draw >= *p {
                self.close(g, "not drawn by its probability");
            }
        }
    }

    /// The best of some groups with its score; the first of equals.
    fn best(&mut self, allowed: &[usize]) -> Option<(usize, f64)> {
        if self.rules.method == Method::DOptimal {
            return self.best_gain(allowed);
        }
        let mut best: Option<(usize, f64)> = None;
        for &g in allowed {
            let score = match self.rules.method {
                Method::Maxvol => self.volumes[g] as f64,
                Method::FarthestPoint => self.distances[g].iter().copied().fold(0.0, f64::max),
                Method::Random | Method::Almomd | Method::Sigma => self.lots[g],
                Method::Grade | Method::DOptimal => self.largest(g),
            };
            if best.is_none_or(|b| score > b.1) {
                best = Some((g, score));
            }
        }
        best
    }

    /// Gains only fall as more is known, so that what was computed before is a bound, and most need
    /// not be computed again. Source: lazy evaluation of submodular functions (Minoux, 1978).
    fn best_gain(&mut self, allowed: &[usize]) -> Option<(usize, f64)> {
        let mut order: Vec<usize> = allowed.to_vec();
        order.sort_by(|&a, &b| self.bounds[b].total_cmp(&self.bounds[a]).then(a.cmp(&b)));
        let mut best: Option<(usize, f64)> = None;
        for g in order {
            if best.is_some_and(|b| b.1 >= self.bounds[g]) {
                break;
            }
            let score = self.known.gain(&self.groups[g].rows) / self.groups[g].cost;
            self.bounds[g] = score;
            if best.is_none_or(|b| score > b.1 || (score == b.1 && g < b.0)) {
                best = Some((g, score));
            }
        }
        best
    }

    /// Takes a group, and closes those that it speaks for.
    fn take(&mut self, g: usize, score: f64) -> Result<()> {
        self.chosen.choices.push(Choice {
            group: g,
            grade: self.largest(g),
            score,
        });
        self.open.remove(&g);
        let groups = self.groups;
        self.known.learn(&groups[g].rows);
        self.mark_seen(g);
        let covers = matches!(self.rules.method, Method::DOptimal | Method::Grade);
        if covers {
            self.extend(g)?;
        }
        for other in self.open.clone() {
            if covers {
                self.grades[other] = self.grade(other)?;
            }
            if self.seen[other].iter().all(|&seen| seen) {
                self.close(other, "duplicate of a chosen structure");
            } else if covers && self.is_covered(other) {
                self.close(other, "covered by a chosen structure");
            }
        }
        if self.rules.method == Method::Maxvol {
            let empty: Vec<usize> = self
                .open
                .iter()
                .copied()
                .filter(|&o| self.volumes[o] == 0)
                .collect();
            for other in empty {
                self.close(other, "no environment in the largest volume");
            }
        }
        Ok(())
    }

    /// Lets the set know a group's rows, worst first.
    fn extend(&mut self, g: usize) -> Result<()> {
        let group = &self.groups[g];
        let mut left: Vec<usize> = (0..group.rows.len()).collect();
        while !left.is_empty() {
            let mut worst = (0, 0.0);
            for (at, &k) in left.iter().enumerate() {
                let grade = self.set.grade_rows(group.rows[k].t, &group.features[k])?[0].total;
                if grade > worst.1 {
                    worst = (at, grade);
                }
            }
            if worst.1 <= 1.0 + 1e-6 {
                break;
            }
            let k = left.swap_remove(worst.0);
            self.set.extend(group.rows[k].t, &group.features[k], None)?;
        }
        Ok(())
    }

    /// Marks the rows that a group has as well, and brings distances up to date.
    fn mark_seen(&mut self, g: usize) {
        let wants_distances = self.rules.method == Method::FarthestPoint;
        for &other in &self.open {
            for (k, row) in self.groups[other].rows.iter().enumerate() {
                if self.seen[other][k] && !wants_distances {
                    continue;
                }
                let length = dot(&row.x, &row.x).sqrt();
                let near = self.rules.duplicate * length.max(1.0);
                for known in &self.groups[g].rows {
                    if known.t != row.t {
                        continue;
                    }
                    // Lengths that differ more than the distance asked for settle it.
                    let between = (dot(&known.x, &known.x).sqrt() - length).abs();
                    if !wants_distances && between > near {
                        continue;
                    }
                    let distance = apart(&known.x, &row.x);
                    self.seen[other][k] |= distance <= near;
                    let nearest = &mut self.distances[other][k];
                    *nearest = nearest.min(distance);
                }
            }
        }
    }

    fn finish(mut self, taken: &BTreeMap<&str, usize>) -> Chosen {
        let full = self.chosen.choices.len() >= self.rules.max;
        for g in self.open.clone() {
            let name = self.groups[g].scenario.as_str();
            let spent = taken.get(name).copied().unwrap_or(0);
            let quota = self.rules.quotas.get(name).copied();
            if quota.is_some_and(|quota| spent >= quota) {
                self.close(g, "quota of the scenario");
            } else if full {
                self.close(g, "budget of the round");
            }
        }
        self.chosen
    }
}

/// Distance of two points.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y) * (x - y))
        .sum::<f64>()
        .sqrt()
}

/// Distance of a row from the nearest active row, ± alike: those are the unit vectors.
fn from_active(set: &ActiveSet, row: &Row) -> f64 {
    let square = dot(&row.x, &row.x);
    let along = row.x[..set.rank(row.t).min(row.x.len())]
        .iter()
        .fold(0.0f64, |m, c| m.max(c.abs()));
    (square + 1.0 - 2.0 * along).max(0.0).sqrt()
}
