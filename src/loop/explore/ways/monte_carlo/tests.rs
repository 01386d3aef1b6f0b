use super::*;
use crate::explore::dynamics::MdOptions;
use crate::explore::health::HealthOptions;
use crate::explore::testing::{Levels, argon_grid};
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA, HBAR, MASS};
use std::ops::ControlFlow;

const AT: At = At {
    temperature: 300.0,
    pressure: 0.05,
};

/// No walls but the volume's.
fn health() -> HealthOptions {
    HealthOptions {
        closest: 0.0,
        volume_ratio: (0.0, 1e9),
        ..HealthOptions::default()
    }
}

/// Means of functions over trials of one replica.
fn means<const N: usize>(
    options: &MonteCarlo,
    start: &Structure,
    energy: impl Fn(&Structure) -> f64 + Send + Sync,
    trials: usize,
    observe: impl Fn(&Structure) -> [f64; N],
) -> [f64; N] {
    options.validate().unwrap();
    let mut potential = Levels(&energy);
    let mut sampler = Sampler::new(options, health(), start.cell.volume()).unwrap();
    let mut rng = generator(1, 2);
    let mut now = Config {
        structure: start.clone(),
        energy: energy(start),
    };
    let mut sum = [0.0; N];
    for _ in 0..trials {
        sampler
            .trial(&mut now, AT, &mut potential, &mut rng)
            .unwrap();
        let seen = observe(&now.structure);
        sum.iter_mut().zip(seen).for_each(|(s, x)| *s += x);
    }
    sum.map(|s| s / trials as f64)
}

fn only(change: impl FnOnce(&mut MonteCarlo)) -> MonteCarlo {
    let mut options = MonteCarlo {
        displace: 0.0,
        ..MonteCarlo::default()
    };
    change(&mut options);
    options
}

/// A displacement in a harmonic well: <x²> = kT/k along each axis.
#[test]
fn displacements_are_harmonic() {
    let stiffness = 0.5;
    let start = argon_grid(1, 10.0);
    let square = |s: &Structure| s.positions[0].map(|x| x * x);
    let options = only(|mc| (mc.displace, mc.size) = (1.0, 0.4));
    let energy = move |s: &Structure| 0.5 * stiffness * square(s).iter().sum::<f64>();
    let found = means(&options, &start, energy, 100_000, square);
    let expected = BOLTZMANN * AT.temperature / stiffness;
    for x in found {
        assert!((x / expected - 1.0).abs() < 0.05, "{x} {expected}");
    }
}

/// (N+1) kT/P, with displacements in between.
#[test]
fn volumes_of_the_ideal_gas() {
    let unit = BOLTZMANN * AT.temperature / (AT.pressure / EV_PER_A3_IN_GPA);
    let start = argon_grid(2, (9.0 * unit / 8.0).cbrt());
    let options = only(|mc| (mc.displace, mc.volume, mc.strain) = (0.1, 1.0, Some(0.15)));
    let volume = |s: &Structure| [s.cell.volume() / unit, (s.cell.volume() / unit).powi(2)];
    let [mean, square] = means(&options, &start, |_| 0.0, 100_000, volume);
    assert!((mean - 9.0).abs() < 0.25, "{mean}");
    assert!((square - mean * mean - 9.0).abs() < 1.0, "{square}");
}

/// The ideal gas follows Poisson: mean and variance are V exp(μ/kT)/Λ³, and without its last atom at
/// least one.
#[test]
fn the_number_of_ideal_atoms_is_poisson() {
    let start = argon_grid(1, 10.0);
    let kt = BOLTZMANN * AT.temperature;
    let mass = start.elements[0].mass() * MASS;
    let wavelength = HBAR * (2.0 * std::f64::consts::PI / (mass * kt)).sqrt();
    // Argon at 300 K: 0.16 Å.
    assert!((wavelength - 0.1595).abs() < 1e-3, "{wavelength}");
    for lambda in [1.5_f64, 6.0] {
        let mu = kt * (lambda * wavelength.powi(3) / 1000.0).ln();
        let options = only(|mc| {
            mc.exchange = 1.0;
            mc.reservoir = [("Ar".to_owned(), mu)].into();
        });
        let count = |s: &Structure| [s.len() as f64, (s.len() as f64).powi(2)];
        let [mean, square] = means(&options, &start, |_| 0.0, 300_000, count);
        let there = 1.0 - (-lambda).exp();
        assert!(
            (mean / (lambda / there) - 1.0).abs() < 0.02,
            "{lambda}: {mean}"
        );
        let expected = (lambda + lambda * lambda) / there;
        assert!((square / expected - 1.0).abs() < 0.04, "{lambda}: {square}");
    }
}

/// Independent atoms, of which each of three elements costs something: their parts are Boltzmann's with
/// the chemical potential; and a swap between two places follows what they cost.
#[test]
fn elements_and_places_follow_boltzmann() {
    let kt = BOLTZMANN * AT.temperature;
    let names = ["Ar", "Kr", "Xe"];
    let (cost, mu) = ([0.0, 0.02, -0.01], [0.0, 0.03, 0.01]);
    let elements = names.map(|s| Element::from_symbol(s).unwrap());
    let place = |e: &Element| elements.iter().position(|x| x == e).unwrap();
    let options = only(|mc| {
        mc.substitute = 1.0;
        mc.substitutions = names.iter().map(|s| (*s).to_owned()).zip(mu).collect();
    });
    let energy = |s: &Structure| s.elements.iter().map(|e| cost[place(e)]).sum();
    let parts = |s: &Structure| {
        let of = |e: &Element| s.elements.iter().filter(|x| *x == e).count() as f64 / 8.0;
        elements.each_ref().map(of)
    };
    let start = argon_grid(2, 5.0);
    let found = means(&options, &start, energy, 100_000, parts);
    let weights: [f64; 3] = std::array::from_fn(|k| ((mu[k] - cost[k]) / kt).exp());
    for (x, w) in found.iter().zip(weights) {
        let expected = w / weights.iter().sum::<f64>();
        assert!((x - expected).abs() < 0.01, "{found:?} {weights:?}");
    }
    // One Kr among eight atoms: at the first place it costs something.
    let mut start = start;
    start.elements[3] = elements[1];
    let at_first = |s: &Structure| {
        let kr = s.elements.iter().position(|e| *e == elements[1]).unwrap();
        f64::from(s.positions[kr] == [0.0; 3])
    };
    let options = only(|mc| mc.swap = 1.0);
    let energy = |s: &Structure| 0.03 * at_first(s);
    let [found] = means(&options, &start, energy, 100_000, |s| [at_first(s)]);
    let factor = (-0.03 / kt).exp();
    let expected = factor / (7.0 + factor);
    assert!((found / expected - 1.0).abs() < 0.06, "{found} {expected}");
}

fn explore(mc: &MonteCarlo, steps: usize, potential: &mut dyn GradedPotential) -> Exploration {
    let options = ExploreOptions {
        md: MdOptions {
            steps,
            seed: 4,
            ..ExploreOptions::default().md
        },
        health: health(),
        ..ExploreOptions::default()
    };
    let go_on = &mut |_, _| ControlFlow::Continue(());
    mc.search(potential, &argon_grid(1, 10.0), &options, go_on)
        .unwrap()
}

/// Replicas in a double well whose wall the cold one does not cross alone: with exchanges it is on both sides as
/// often, and each has its own temperature's energy.
#[test]
fn tempering_carries_the_cold_one_across() {
    // 0.25 eV between -1 and 1, sixty times kT of the coldest.
    let energy = |s: &Structure| {
        let [x, y, z] = s.positions[0];
        0.25 * (x * x - 1.0).powi(2) + 0.5 * (y * y + z * z)
    };
    let mut mc = MonteCarlo {
        size: 0.15,
        exchange_every: 5,
        temperatures: vec![50.0, 100.0, 220.0, 500.0, 1200.0],
        ..MonteCarlo::default()
    };
    let run = |mc: &MonteCarlo| {
        let kt = BOLTZMANN * 50.0;
        let mut sampler = Sampler::new(mc, health(), 1000.0).unwrap();
        let mut rng = generator(1, 2);
        let mut start = argon_grid(1, 10.0);
        start.positions[0][0] = 1.0;
        let first = Config {
            energy: energy(&start),
            structure: start,
        };
        let mut all = vec![first; mc.temperatures.len()];
        let at = |k: usize| At {
            temperature: mc.temperatures[k],
            pressure: 0.0,
        };
        let (mut left, mut side, steps) = (0, 0.0, 100_000);
        for step in 1..=steps {
            for (k, now) in all.iter_mut().enumerate() {
                sampler
                    .trial(now, at(k), &mut Levels(energy), &mut rng)
                    .unwrap();
            }
            if step % mc.exchange_every == 0 {
                for k in (step / mc.exchange_every % 2..all.len() - 1).step_by(2) {
                    if sampler.exchanges([&all[k], &all[k + 1]], [at(k), at(k + 1)], &mut rng) {
                        all.swap(k, k + 1);
                    }
                }
            }
            let [x, y, _] = all[0].structure.positions[0];
            left += usize::from(x < 0.0);
            side += y * y / kt;
        }
        (left as f64 / steps as f64, side / steps as f64)
    };
    let (left, side) = run(&mc);
    assert!((left - 0.5).abs() < 0.15, "{left}");
    // <y²> = kT/k of the coldest, whoever brought it.
    assert!((side - 1.0).abs() < 0.08, "{side}");
    mc.temperatures.truncate(1);
    assert_eq!(run(&mc).0, 0.0, "alone it stays");
}

#[test]
fn a_search_is_graded_and_repeats() {
    let energy = |s: &Structure| s.positions.iter().map(|r| 0.5 * r[0] * r[0]).sum();
    let mut mc = MonteCarlo {
        temperatures: vec![300.0, 600.0],
        exchange_every: 10,
        ..MonteCarlo::default()
    };
    let found = explore(&mc, 500, &mut Levels(energy));
    assert!(found.finished && found.steps_done == 500 && found.candidates.is_empty());
    assert_eq!(found.trace.len(), 51);
    let names: Vec<_> = found.series.keys().copied().collect();
    assert_eq!(names, ["atoms", "exchanges taken", "trials taken"]);
    assert!(found.series["trials taken"][50] > 0.3);
    let again = explore(&mc, 500, &mut Levels(energy));
    assert_eq!(found.trace, again.trace);
    assert_eq!(found.last, again.last);
    mc.temperatures.clear();
    assert_ne!(explore(&mc, 500, &mut Levels(energy)).trace, found.trace);
}

/// Unknown from one Å on: frames are kept, and beyond two the replica goes back and is given up at last.
#[test]
fn what_leaves_known_ground_is_kept_and_goes_back() {
    struct Far;
    impl nepal::calculator::Potential for Far {
        fn energy_forces_virial(&mut self, s: &Structure) -> Result<super::super::Labels> {
            Ok((0.0, vec![[0.0; 3]; s.len()], [0.0; 9]))
        }
    }
    impl GradedPotential for Far {
        fn energy_forces_virial_grades(
            &mut self,
            s: &Structure,
        ) -> Result<(super::super::Labels, crate::explore::Grades)> {
            use nepal::calculator::Potential;
            let grade: Vec<f64> = s.positions.iter().map(|r| 2.0 * r[0].abs()).collect();
            let grades = crate::explore::Grades {
                gamma: grade.clone(),
                rho: grade.clone(),
                grade,
            };
            Ok((self.energy_forces_virial(s)?, grades))
        }
    }
    let mc = MonteCarlo {
        size: 0.3,
        ..MonteCarlo::default()
    };
    let found = explore(&mc, 20_000, &mut Far);
    assert!(found.escalated && !found.finished && found.breaks == 3);
    assert!(found.candidates.iter().filter(|c| c.why == "break").count() == 3);
    assert!(found.rewinds.iter().all(|r| r.reason.contains("replica 0")));
    assert!(found.last.positions[0][0].abs() < 0.75);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, word) in [
        ("monte-carlo,displace=0", "one above it"),
        ("monte-carlo,size=-1", "size above 0"),
        ("monte-carlo,substitute=1", "at least two elements"),
        (
            "monte-carlo,substitutions={Ar=0.0,Kr=0.1}",
            "substitute > 0 goes with",
        ),
        ("monte-carlo,exchange=1", "at least one element"),
        ("monte-carlo,exchange=1,reservoir={Qq=1}", "Qq"),
        (
            "monte-carlo,temperatures=[300],pressures=[1,2]",
            "a pressure for each",
        ),
        ("monte-carlo,speed=1", "unknown field"),
    ] {
        let error = text.parse::<super::super::Way>().unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    let argon = argon_grid(2, 5.0);
    let swaps = only(|mc| mc.swap = 1.0);
    assert!(
        swaps
            .check(&argon)
            .unwrap_err()
            .to_string()
            .contains("Ar alone")
    );
    let text = "monte-carlo,displace=0,substitute=1,substitutions={Kr=0.0,Xe=0.1}";
    let super::super::Way::MonteCarlo(others) = text.parse().unwrap() else {
        panic!("{text}")
    };
    assert!(
        others
            .check(&argon)
            .unwrap_err()
            .to_string()
            .contains("no atom")
    );
    let mut open = argon;
    open.cell = nepal::Cell::isolated();
    let volume = only(|mc| mc.volume = 1.0);
    assert!(
        volume
            .check(&open)
            .unwrap_err()
            .to_string()
            .contains("periodic")
    );
}
