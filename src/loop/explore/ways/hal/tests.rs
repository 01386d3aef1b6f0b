use super::*;
use crate::explore::dynamics::{Ensemble, MdOptions};
use crate::explore::testing::{LennardJones, argon_fcc};
use crate::explore::{Exploration, Grades, Moves, explore_with};
use nepal::calculator::Potential;
use nepal::system::Structure;
use std::ops::ControlFlow;

/// Argon that is unsure of the distance of one atom from where it began; grades are far from any threshold.
struct Unsure {
    lj: LennardJones,
    home: [f64; 3],
    deviation: f64,
    signals: usize,
}

impl Unsure {
    fn new(start: &Structure) -> Self {
        Self {
            lj: LennardJones::argon(),
            home: start.positions[0],
            deviation: 0.0,
            signals: 0,
        }
    }
}

impl Potential for Unsure {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        self.lj.energy_forces_virial(structure)
    }
}

impl GradedPotential for Unsure {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let half = vec![0.5; structure.len()];
        let grades = Grades {
            gamma: half.clone(),
            rho: half.clone(),
            grade: half,
        };
        Ok((self.energy_forces_virial(structure)?, grades))
    }

    /// Along x; without strain.
    fn signal(&mut self, structure: &Structure, _: Signal) -> Result<Labels> {
        self.signals += 1;
        let mut along = vec![[0.0; 3]; structure.len()];
        along[0][0] = -1.0;
        Ok((
            structure.positions[0][0] - self.home[0] + 10.0,
            along,
            [0.0; 9],
        ))
    }

    fn deviations(&mut self, structure: &Structure, _: Signal) -> Result<Vec<f64>> {
        let mut all = vec![0.001; structure.len()];
        all[3] = self.deviation;
        Ok(all)
    }
}

fn options(hal: Hal, steps: usize) -> ExploreOptions {
    ExploreOptions {
        md: MdOptions {
            ensemble: Ensemble::svr(0.1),
            temperature: (30.0, 30.0),
            pressure: (0.0, 0.0),
            timestep: 0.005,
            steps,
            seed: 11,
        },
        way: super::super::Way::Hal(hal),
        ..ExploreOptions::default()
    }
}

fn run(deviation: f64, options: &ExploreOptions) -> Exploration {
    let start = argon_fcc(2, 5.4);
    let mut potential = Unsure::new(&start);
    potential.deviation = deviation;
    let go_on = &mut |_, _| ControlFlow::Continue(());
    explore_with(&mut potential, &start, options, go_on).unwrap()
}

/// Nothing for the length of the history; then the mean bias is τ of the mean force, and it drives the atom up.
#[test]
fn the_bias_starts_late_and_is_a_given_part_of_the_force() {
    let hal = Hal {
        history: 50,
        cap: 1e3,
        ..Hal::default()
    };
    let found = run(0.0, &options(hal, 1000));
    assert!(found.finished && !found.found);
    let tau = &found.series["tau"];
    let ratio = &found.series["bias over force"];
    assert!(
        found
            .trace
            .iter()
            .zip(tau)
            .all(|(p, t)| (*t > 0.0) == (p.step > 50)),
        "{tau:?}"
    );
    let late: f64 = ratio[20..].iter().sum::<f64>() / (ratio.len() - 20) as f64;
    assert!((late - 0.2).abs() < 0.05, "{late}");
    // The signal goes up by the mean force over the stiffness, and the mean of what is unbiased does not.
    let mean = |s: &Exploration| s.series["sigma"][50..].iter().sum::<f64>() / 51.0;
    let still = run(
        0.0,
        &options(
            Hal {
                tau: Ramp::Constant(0.0),
                ..hal
            },
            1000,
        ),
    );
    assert!(
        mean(&found) > mean(&still) + 0.05,
        "{} {}",
        mean(&found),
        mean(&still)
    );
    // Nothing speaks for a frame: the last is kept.
    let kept: Vec<_> = found.candidates.iter().map(|c| (c.step, c.why)).collect();
    assert_eq!(kept, [(1000, "last frame")]);
}

#[test]
fn the_first_uncertain_frame_ends_the_run_or_is_kept() {
    let plain = options(Hal::default(), 300);
    let found = run(1.0, &plain);
    // Not before there is a bias: the start is the same in every round.
    assert!(found.found && found.finished && found.steps_done == 100);
    assert!(found.candidates.len() == 1 && found.candidates[0].by_way);
    let end = Hal {
        stop: Stop::End,
        ..Hal::default()
    };
    let found = run(1.0, &options(end, 300));
    assert!(!found.found && found.finished && found.steps_done == 300);
    assert_eq!(found.candidates.len(), 1);
    assert_eq!(found.candidates[0].step, 100);
    // σ over the force and the regulariser, which is all there is at rest.
    assert!((found.series["largest f"][0] - 1.0 / 0.2).abs() < 1e-6);
    // One of 32 atoms that stands out by f = 5.
    let softmax = Hal {
        trigger: Trigger::Softmax,
        stop: Stop::End,
        ..Hal::default()
    };
    let found = run(1.0, &options(softmax, 10));
    let expected = 1.0 / (1.0 + 31.0 * (0.005_f64 - 5.0).exp());
    let f = found.series["largest f"][0];
    assert!((f - expected).abs() < 1e-6, "{f} {expected}");
}

/// The bias on an atom is at most the force on it; the tabulated τ doubles as the signal's gradient halves.
#[test]
fn the_bias_is_capped_atom_by_atom() {
    let mut guided = Hal::default().guide(&options(Hal::default(), 100));
    guided.tau = 0.5;
    let along = vec![[4.0, 0.0, 0.0], [0.0, 0.2, 0.0]];
    let forces = vec![[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]];
    let mut labels: Labels = (3.0, forces, [1.0; 9]);
    guided.bend((2.0, along.clone(), [0.5; 9]), &mut labels);
    assert_eq!(labels.0, 2.0);
    assert_eq!(labels.1, [[-1.0, 1.0, 0.0], [0.0, 0.9, 0.0]]);
    // 1.1 of 2.1 is left of the bias, and of its pressure.
    let virial = 1.0 - 0.25 * 1.1 / 2.1;
    assert!(
        labels.2.iter().all(|w| (w - virial).abs() < 1e-12),
        "{:?}",
        labels.2
    );
    let tau = |gradient: f64| {
        let mut guided = Hal {
            history: 1,
            ..Hal::default()
        }
        .guide(&options(Hal::default(), 100));
        for step in 1..=3 {
            guided.last.sizes = [2.0, gradient, 0.0];
            guided.stepped(step);
        }
        guided.tau
    };
    assert!((tau(1.0) - 0.4).abs() < 1e-12 && (tau(0.5) - 0.8).abs() < 1e-12);
    assert_eq!(tau(0.0), 0.0);
    // Of the saturating form: the derivative of its energy, and never below -A.
    let saturate = Some(Saturate {
        height: 2.0,
        width: 0.3,
    });
    let mut guided = Hal {
        saturate,
        ..Hal::default()
    }
    .guide(&options(Hal::default(), 100));
    assert_eq!(guided.energy(1.0, 32), (0.0, 0.0));
    guided.seen = 1000;
    let (energy, slope) = guided.energy(1.0, 32);
    let numeric = (guided.energy(1.0 + 1e-6, 32).0 - guided.energy(1.0 - 1e-6, 32).0) / 2e-6;
    assert!((slope - numeric).abs() < 1e-7 && energy < 0.0);
    assert_eq!(guided.energy(1e3, 32).0, -2.0);
    assert_eq!(guided.energy(0.0, 32), (0.0, 0.0));
}

/// A ramp of τ heats too much at last: the run goes back, begins without bias, and says why; a frame is kept.
#[test]
fn a_bias_that_heats_is_stopped_and_told() {
    let hal = Hal {
        tau: Ramp::Linear([0.0, 10.0]),
        history: 20,
        cap: 100.0,
        ..Hal::default()
    };
    let mut options = options(hal, 4000);
    options.md.ensemble = Ensemble::Nve;
    options.health.temperature_margin = 30.0;
    let found = run(0.0, &options);
    assert!(found.breaks > 0, "{:?}", found.trace.last());
    let rewind = &found.rewinds[0];
    assert!(rewind.unhealthy, "{rewind:?}");
    assert_eq!(found.candidates[0].why, "before failure");
}

/// Trials are Metropolis' on the biased energy, are no steps of the bias' averages, and repeat.
#[test]
fn moves_go_with_the_bias() {
    let mut with = options(
        Hal {
            history: 20,
            ..Hal::default()
        },
        200,
    );
    with.md.pressure = (0.1, 0.1);
    with.moves = Some(Moves {
        volume: 2,
        ..Moves::default()
    });
    let found = run(0.0, &with);
    let taken = &found.series["cell moves taken"];
    assert!(
        found.finished && taken[20] > 0.05 && taken[20] < 1.0,
        "{taken:?}"
    );
    let volumes: Vec<f64> = found.trace.iter().map(|p| p.volume).collect();
    assert!(volumes[20] != volumes[0]);
    assert_eq!(run(0.0, &with).trace, found.trace);
    with.moves = Some(Moves {
        swaps: 1,
        ..Moves::default()
    });
    let start = argon_fcc(2, 5.4);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let error = explore_with(&mut Unsure::new(&start), &start, &with, go_on).unwrap_err();
    assert!(error.to_string().contains("Ar alone"), "{error}");
    with.md.ensemble = Ensemble::Nve;
    assert!(
        with.validate()
            .unwrap_err()
            .to_string()
            .contains("langevin")
    );
}

#[test]
fn options_are_read_and_checked() {
    use super::super::Way;
    let way: Way = "hal,tau=[0.1,0.3],stop=end,trigger=softmax,saturate={height=1.0,width=0.1}"
        .parse()
        .unwrap();
    let Way::Hal(hal) = &way else {
        panic!("{way:?}")
    };
    assert_eq!((hal.tau, hal.stop), (Ramp::Linear([0.1, 0.3]), Stop::End));
    assert!(way.goes_by(Signal::Sigma) && way.is_dynamics());
    assert!(
        !"hal,signal=grade"
            .parse::<Way>()
            .unwrap()
            .goes_by(Signal::Sigma)
    );
    for (text, word) in [
        ("hal,tau=-1", "tau from 0 to 10"),
        ("hal,history=0", "history of at least 1"),
        ("hal,cap=0", "positive"),
        ("hal,temperature=300", "unknown field"),
    ] {
        let error = text.parse::<Way>().unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}
