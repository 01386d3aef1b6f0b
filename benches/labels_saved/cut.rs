//! The same targets, cut in each of the ways.

use nepal::fragment::{Fragment, FragmentOptions, Outcome, Shape, Tally, carve, harvest, to_frame};
use nepal::{
    ActiveSet, BackendKind, Calculator, Cell, Error, Frame, Model, NeighborList, Result, Structure,
};
use std::sync::Arc;

/// Radius of a cluster in vacuum, Å: what MLIP-3 recommends.
const CLUSTER: f64 = 8.0;

/// A target with its fragment.
struct Target {
    parent: usize,
    atom: usize,
    fragment: Box<Fragment>,
}

/// All targets.
pub struct Cuts {
    model: Arc<Model>,
    parents: Vec<Structure>,
    targets: Vec<Target>,
    /// What was cut and refused, in a line.
    pub report: String,
}

impl Cuts {
    /// Takes targets from the parents in turn, as the product does: largest grade first, each
    /// learned at once.
    pub fn new(
        model: &Arc<Model>,
        set: &Arc<ActiveSet>,
        parents: &[Frame],
        most: usize,
    ) -> Result<Self> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        calculator.set_active_set(Some(Arc::clone(set)))?;
        let mut targets = Vec::new();
        let mut tally = Tally::default();
        let options = FragmentOptions::default();
        let share = most.div_ceil(parents.len());
        let start = std::time::Instant::now();
        for (parent, frame) in parents.iter().enumerate() {
            let done = harvest(
                &mut calculator,
                &frame.structure,
                2.0,
                2 * share,
                &options,
                |target, outcome| {
                    if let Outcome::Fragment(fragment) = outcome {
                        targets.push(Target {
                            parent,
                            atom: target.atom,
                            fragment: fragment.clone(),
                        });
                    }
                    Ok(())
                },
            )?;
            tally.add(&done);
        }
        // Both parents in every subset.
        let mut order: Vec<usize> = (0..targets.len()).collect();
        let rank = |k: usize| {
            targets[..k]
                .iter()
                .filter(|t| t.parent == targets[k].parent)
                .count()
        };
        order.sort_by_key(|&k| rank(k));
        let mut sorted: Vec<Option<Target>> = targets.into_iter().map(Some).collect();
        let mut targets: Vec<Target> = order.iter().filter_map(|&k| sorted[k].take()).collect();
        targets.truncate(most);
        Ok(Self {
            model: Arc::clone(model),
            parents: parents.iter().map(|f| f.structure.clone()).collect(),
            report: format!(
                "{} targets, {:?}, {:.1} s each",
                targets.len(),
                tally,
                start.elapsed().as_secs_f64() / (tally.fragments + tally.n_refused()).max(1) as f64
            ),
            targets,
        })
    }

    /// Number of targets.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// The first `n` targets cut in a way.
    pub fn of(&self, way: &str, n: usize) -> Result<Vec<Frame>> {
        self.targets
            .iter()
            .take(n)
            .filter_map(|target| match way {
                "fragments" => Some(Ok(to_frame(&target.fragment, &Default::default()))),
                "faithful" => {
                    // Only atoms that see what they see in the parent.
                    let mut frame = to_frame(&target.fragment, &Default::default());
                    let only = target.fragment.faithful.iter();
                    let mask: Vec<f64> = only.map(|&f| f64::from(u8::from(f))).collect();
                    frame.energy_weight = mask.iter().sum::<f64>() / mask.len() as f64;
                    frame.force_mask = Some(mask);
                    Some(Ok(frame))
                }
                "unmasked" => Some(Ok(Frame::new(target.fragment.structure.clone()))),
                "naive" => self.naive(target).transpose(),
                "clusters" => Some(self.cluster(target)),
                other => Some(Err(Error::Failed(format!(
                    "no way to cut is called {other}"
                )))),
            })
            .collect()
    }

    /// A cube along the axes, overlaps removed.
    fn naive(&self, target: &Target) -> Result<Option<Frame>> {
        let size = 2.0 * self.model.cutoff() + 2.5;
        let options = FragmentOptions {
            shapes: vec![Shape::Cube],
            orientations: 0,
            min_size: Some(size),
            max_size: Some(size),
            n_max: 2000,
            density: [0.0, 10.0],
            ..FragmentOptions::default()
        };
        let parent = &self.parents[target.parent];
        Ok(match carve(&self.model, parent, target.atom, &options)? {
            Outcome::Fragment(cut) => Some(Frame::new(cut.structure)),
            _ => None,
        })
    }

    /// All atoms within a sphere, in vacuum; no stress.
    fn cluster(&self, target: &Target) -> Result<Frame> {
        let parent = &self.parents[target.parent];
        let list = NeighborList::build(&parent.cell, &parent.positions, CLUSTER)?;
        let mut positions = vec![[0.0; 3]];
        positions.extend(
            list.vectors(target.atom, &parent.cell, &parent.positions)
                .map(|(_, r)| r),
        );
        let elements = vec![parent.elements[target.atom]; positions.len()];
        let structure = Structure::new(Cell::isolated(), elements, positions)?;
        Ok(Frame::new(structure))
    }
}
