//! What a model says of the structures of an objective, without derivatives.

use super::device::Job;
use super::{Group, Objective, Spread};
use crate::errors::Prediction;
use crate::kernel::{Loss, Parameters, Pass, Results, Slopes};
use nepal::model::Kind;
use rayon::prelude::*;

impl Objective {
    /// Calls `visit` with the group and the forward results of each group, in order of the groups.
    pub fn predict<R: Send>(
        &self,
        parameters: &[f64],
        q_scaler: &[f64],
        visit: impl Fn(&Group, &Results<'_>) -> R + Sync,
    ) -> Vec<R> {
        let all: Vec<usize> = (0..self.groups.len()).collect();
        self.predict_some(&all, parameters, q_scaler, visit)
    }

    /// [`Objective::predict`] for some groups.
    pub fn predict_some<R: Send>(
        &self,
        groups: &[usize],
        parameters: &[f64],
        q_scaler: &[f64],
        visit: impl Fn(&Group, &Results<'_>) -> R + Sync,
    ) -> Vec<R> {
        let bent = self.bent(parameters);
        let make = |index: usize| {
            let inner = Visit {
                group: &self.groups[index],
                visit: &visit,
                result: None,
            };
            self.repelled(index, bent.as_ref(), inner)
        };
        const ONCE: &str = "the pass calls its loss once";
        let by_device = self.on_device(|engine| {
            let jobs: Vec<Job> = groups.iter().map(|&group| Job { group, row: 0 }).collect();
            engine.run(self, &jobs, parameters, q_scaler, 0, |k| make(groups[k]))
        });
        if let Some((losses, _)) = by_device {
            let results = losses.into_iter().map(|l| l.inner.result);
            return results.map(|r| r.expect(ONCE)).collect();
        }
        let parameters = Parameters::new(&self.layout, parameters, q_scaler);
        groups
            .par_iter()
            .map(|&index| {
                self.with_group(index, |group, geometry, workspace| {
                    let mut loss = make(index);
                    Pass {
                        shape: &self.shape,
                        parameters: &parameters,
                        chunk: &group.chunk,
                        geometry,
                        loss: &mut loss,
                        workspace,
                        gradient: &mut [],
                        range: None,
                    }
                    .run();
                    loss.inner.result.expect(ONCE)
                })
            })
            .collect()
    }

    /// Predictions, with the repulsion put back, in the order of the caller's `n_frames` frames.
    pub fn predictions(
        &self,
        parameters: &[f64],
        q_scaler: &[f64],
        n_frames: usize,
    ) -> Vec<Prediction> {
        let parts = self.predict(parameters, q_scaler, |group, results| {
            let mut out: Vec<(usize, Prediction)> = Vec::new();
            for (s, &member) in group.members.iter().enumerate() {
                let sample = &self.samples[member];
                let n = sample.structure.len() as f64;
                let w: [f64; 6] =
                    std::array::from_fn(|c| results.virial[s][c] + n * sample.repulsion.virial[c]);
                let prediction = match self.header.kind {
                    Kind::Dipole | Kind::Polarizability => Prediction {
                        tensor: w[..if self.header.kind == Kind::Dipole {
                            3
                        } else {
                            6
                        }]
                            .to_vec(),
                        ..Prediction::default()
                    },
                    _ => Prediction {
                        energy: results.energy[s] + n * sample.repulsion.energy,
                        forces: sample.repulsion.forces.clone(),
                        virial: [w[0], w[3], w[5], w[3], w[1], w[4], w[5], w[4], w[2]],
                        ..Prediction::default()
                    },
                };
                out.push((sample.frame, prediction));
            }
            if self.header.kind.is_tensor() {
                return out;
            }
            for (slot, atom) in group.chunk.atom.iter().enumerate() {
                if let Some(atom) = atom {
                    let s = group.chunk.structure[slot] as usize;
                    let f = &mut out[s].1.forces[*atom as usize];
                    for (f, own) in f.iter_mut().zip(results.force[slot]) {
                        *f += own;
                    }
                }
            }
            out
        });
        let mut all = vec![Prediction::default(); n_frames];
        for (frame, prediction) in parts.into_iter().flatten() {
            all[frame] = prediction;
        }
        all
    }

    /// Number of atoms, sum and sum of squares, smallest and largest of each descriptor by type of
    /// the centre. Shape `[n_types][dim]`.
    pub fn descriptors(&self, parameters: &[f64], q_scaler: &[f64]) -> Vec<Vec<Spread>> {
        let parameters = Parameters::new(&self.layout, parameters, q_scaler);
        let all: Vec<Vec<Vec<Spread>>> = (0..self.groups.len())
            .into_par_iter()
            .map(|index| {
                self.with_group(index, |group, geometry, workspace| {
                    let mut spread =
                        vec![vec![Spread::default(); self.shape.dim]; self.shape.n_types];
                    Pass {
                        shape: &self.shape,
                        parameters: &parameters,
                        chunk: &group.chunk,
                        geometry,
                        loss: &mut Nothing,
                        workspace,
                        gradient: &mut [],
                        range: Some(&mut spread),
                    }
                    .run();
                    spread
                })
            })
            .collect();
        let mut total = vec![vec![Spread::default(); self.shape.dim]; self.shape.n_types];
        for part in all {
            for (total, part) in total.iter_mut().flatten().zip(part.iter().flatten()) {
                total.merge(part);
            }
        }
        total
    }
}

struct Nothing;

impl Loss for Nothing {
    fn slopes(&mut self, _: &Results<'_>, _: Slopes<'_>) -> bool {
        false
    }
}

struct Visit<'a, V, R> {
    group: &'a Group,
    visit: &'a V,
    result: Option<R>,
}

impl<V: Fn(&Group, &Results<'_>) -> R, R> Loss for Visit<'_, V, R> {
    fn slopes(&mut self, results: &Results<'_>, _: Slopes<'_>) -> bool {
        self.result = Some((self.visit)(self.group, results));
        false
    }
}
