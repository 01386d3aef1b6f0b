//! Tests of the way.

use super::*;
use crate::explore::health::HealthOptions;
use crate::explore::potential::{Grades, Labels};
use crate::explore::random::gaussian;
use crate::explore::testing::{LennardJones, argon_fcc};
use crate::explore::{Way, explore_with};
use nepal::calculator::Potential;
use std::ops::ControlFlow;

/// Argon whose forces are known well where they are small.
struct Doubtful(LennardJones);

impl Potential for Doubtful {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        self.0.energy_forces_virial(structure)
    }
}

impl GradedPotential for Doubtful {
    fn energy_forces_virial_grades(&mut self, s: &Structure) -> Result<(Labels, Grades)> {
        let flat = || vec![0.5; s.len()];
        let grades = Grades {
            gamma: flat(),
            rho: flat(),
            grade: flat(),
        };
        Ok((self.energy_forces_virial(s)?, grades))
    }

    fn deviations(&mut self, s: &Structure, _: Signal) -> Result<Vec<f64>> {
        let (_, forces, _) = self.energy_forces_virial(s)?;
        Ok(forces
            .iter()
            .map(|f| nepal::system::cell::norm(*f).powi(2))
            .collect())
    }
}

fn options(way: Anharmonic, temperature: (f64, f64)) -> ExploreOptions {
    ExploreOptions {
        md: MdOptions {
            ensemble: Ensemble::langevin(2.0),
            temperature,
            pressure: (0.0, 0.0),
            timestep: 0.004,
            steps: 1500,
            seed: 3,
        },
        grade_every: 5,
        spacing: 10,
        health: HealthOptions::default(),
        way: Way::Anharmonic(way),
        ..ExploreOptions::default()
    }
}

fn run(options: &ExploreOptions) -> crate::explore::Exploration {
    let mut potential = Doubtful(LennardJones::argon());
    let start = argon_fcc(2, 5.26);
    explore_with(&mut potential, &start, options, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

#[test]
fn uncertain_frames_are_kept_where_they_are_viable() {
    let way = Anharmonic::default();
    let found = run(&options(way.clone(), (20.0, 40.0)));
    // Nothing is novel by its grade; what is kept is kept for its deviation.
    assert!(!found.candidates.is_empty());
    let sigma = &found.series["largest σ (eV/Å)"];
    assert_eq!(sigma.len(), found.trace.len());
    let mut usual = sigma[..30].to_vec();
    usual.sort_by(f64::total_cmp);
    let median = usual[usual.len() / 2];
    for (k, candidate) in found.candidates.iter().enumerate() {
        assert_eq!(candidate.why, "uncertain and viable");
        let at = found.trace.iter().position(|p| p.step == candidate.step);
        assert!(sigma[at.unwrap()] > median, "candidate {k}");
    }
    for pair in found.candidates.windows(2) {
        assert!(pair[1].step >= pair[0].step + 10);
    }
    assert!(found.series["P_U"][..29].iter().all(|p| *p == 0.0));
    // The same again, and frame by frame as uncertain, with energies far above the usual: none is viable.
    let again = run(&options(way.clone(), (20.0, 40.0)));
    assert_eq!(again.candidates, found.candidates);
    let mut potential = Doubtful(LennardJones::argon());
    let held_out = vec![argon_fcc(2, 5.26); FEWEST];
    let mut told = Way::Anharmonic(way.clone());
    told.inform(&mut potential, || Ok(held_out)).unwrap();
    let Way::Anharmonic(told) = told else {
        panic!("another way")
    };
    // All forces of the crystal vanish: once energies are known, everything else is uncertain.
    let calm = run(&options(told, (20.0, 40.0)));
    assert!(calm.series["P_U"][30..].iter().all(|p| *p > 0.99));
    assert!(calm.candidates.len() > found.candidates.len());
    // Told that the energy of the crystal at rest is usual, no other is viable.
    let crystal = argon_fcc(2, 5.26);
    let told = Anharmonic {
        usual: measured(&mut potential, Signal::Sigma, [&crystal]).unwrap(),
        ..way
    };
    let cold = options(told.clone(), (20.0, 40.0));
    let refused = run(&cold);
    assert!(refused.candidates.is_empty());
    assert!(refused.series["P_U"][1..].iter().all(|p| *p > 0.99));
    // Under constant pressure energies are not asked.
    let mut moved = cold.clone();
    moved.md.ensemble = Ensemble::Npt(
        crate::explore::Thermostat::Langevin { friction: 2.0 },
        crate::explore::Barostat {
            tau: 1.0,
            compressibility: 0.3,
            anisotropic: crate::explore::Anisotropy::Shape,
        },
    );
    assert!(!run(&moved).candidates.is_empty());
    // The other rule finds all high energies viable.
    let head = Anharmonic {
        rule: EnergyRule::Head,
        ..told
    };
    assert!(!run(&options(head, (20.0, 40.0))).candidates.is_empty());
}

#[test]
fn options_come_from_words() {
    let way: Way = "anharmonic,signal=grade,rule=head,settle=20"
        .parse()
        .unwrap();
    let wanted = Anharmonic {
        signal: Signal::Grade,
        rule: EnergyRule::Head,
        settle: 20,
        ..Anharmonic::default()
    };
    assert_eq!(way, Way::Anharmonic(wanted));
    assert!(way.resumes() && !Way::Dynamics.resumes());
    for (text, word) in [
        ("anharmonic,grad=0", "grad"),
        ("anharmonic,settle=2", "settle"),
        ("anharmonic,shfit=2", "shfit"),
    ] {
        let error = text.parse::<Way>().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_correlation_time_is_that_of_the_process() {
    // x' = a x + noise has ½ (1 + a) / (1 − a).
    let mut rng = generator(4, 0);
    for a in [0.0, 0.8] {
        let mut x = 0.0;
        let series: Vec<f64> = (0..20_000)
            .map(|_| {
                x = a * x + gaussian(&mut rng);
                x
            })
            .collect();
        let exact = 0.5 * (1.0 + a) / (1.0 - a);
        let found = correlation_time(&series);
        assert!((found / exact - 1.0).abs() < 0.15, "{found} {exact}");
    }
    assert_eq!(correlation_time(&[1.0; 50]), 0.5);
    assert_eq!(correlation_time(&[]), 0.5);
}
