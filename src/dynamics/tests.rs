use super::*;
use crate::lennard_jones::{IdealGas, LennardJones, argon_fcc, argon_grid};
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA};

fn options(ensemble: Ensemble, temperature: f64, timestep: f64) -> MdOptions {
    MdOptions {
        ensemble,
        temperature: (temperature, temperature),
        pressure: (0.0, 0.0),
        timestep,
        steps: 1000,
        seed: 7,
    }
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}

#[test]
fn constant_energy_holds_to_second_order() {
    // The error of velocity Verlet oscillates and falls with the square of the time step.
    let mut spread = Vec::new();
    for dt in [0.01, 0.005] {
        let mut lj = LennardJones::argon();
        let mut md = Md::new(
            &mut lj,
            &argon_fcc(3, 5.4),
            &options(Ensemble::Nve, 60.0, dt),
        )
        .unwrap();
        let mut energies = vec![md.total_energy()];
        let steps = (10.0 / dt) as usize;
        md.run(&mut lj, steps, |md| energies.push(md.total_energy()))
            .unwrap();
        let (_, variance) = moments(&energies);
        spread.push(variance.sqrt());
        let n = energies.len();
        let early = moments(&energies[..n / 4]).0;
        let late = moments(&energies[3 * n / 4..]).0;
        assert!((late - early).abs() < 2e-3 * md.state().kinetic(), "drift");
        let p: f64 = (0..3)
            .map(|a| {
                let state = md.state();
                let sum: f64 = (0..state.velocities.len())
                    .map(|i| state.masses()[i] * state.velocities[i][a])
                    .sum();
                sum.abs()
            })
            .sum();
        assert!(p < 1e-12, "total momentum {p}");
    }
    let ratio = spread[0] / spread[1];
    assert!((3.0..5.3).contains(&ratio), "ratio {ratio}, expected 4");
}

#[test]
fn constant_energy_dynamics_run_backwards() {
    let mut lj = LennardJones::argon();
    let start = argon_fcc(2, 5.4);
    let mut md = Md::new(&mut lj, &start, &options(Ensemble::Nve, 60.0, 0.005)).unwrap();
    md.run(&mut lj, 300, |_| {}).unwrap();
    let far = md.state().structure.positions[5];
    assert!(nepal::system::cell::norm(nepal::system::cell::sub(far, start.positions[5])) > 0.05);
    for v in &mut md.state_mut().velocities {
        *v = v.map(|x| -x);
    }
    md.run(&mut lj, 300, |_| {}).unwrap();
    for (a, b) in md.state().structure.positions.iter().zip(&start.positions) {
        for c in 0..3 {
            assert!((a[c] - b[c]).abs() < 1e-9);
        }
    }
}

#[test]
fn the_same_seed_repeats_and_another_does_not() {
    let last = |seed| {
        let mut lj = LennardJones::argon();
        let mut o = options(Ensemble::npt(0.1, 1.0), 60.0, 0.005);
        o.seed = seed;
        let mut md = Md::new(&mut lj, &argon_fcc(2, 5.4), &o).unwrap();
        md.run(&mut lj, 50, |_| {}).unwrap();
        md.state().structure.clone()
    };
    assert_eq!(last(3), last(3));
    assert_ne!(last(3), last(4));
}

/// Canonical kinetic energy: mean f kT/2, variance f (kT)²/2; and for both thermostats the same
/// mean potential energy, which neither sets directly.
#[test]
fn thermostats_sample_the_canonical_ensemble() {
    let temperature = 40.0;
    let mut potential = Vec::new();
    for ensemble in [Ensemble::svr(0.1), Ensemble::langevin(2.0)] {
        let mut lj = LennardJones::argon();
        let mut md = Md::new(
            &mut lj,
            &argon_fcc(2, 5.35),
            &options(ensemble, temperature, 0.01),
        )
        .unwrap();
        md.run(&mut lj, 2000, |_| {}).unwrap();
        let (mut kinetic, mut energies) = (Vec::new(), Vec::new());
        md.run(&mut lj, 40_000, |md| {
            kinetic.push(md.state().kinetic());
            energies.push(md.state().energy);
        })
        .unwrap();
        let f = md.state().degrees_of_freedom() as f64;
        let kt = BOLTZMANN * temperature;
        let (mean, variance) = moments(&kinetic);
        // 400 ps at a correlation time near 0.2 ps: about 2 % of the standard deviation in the
        // mean, 5 % in the variance.
        assert!(
            (mean / (0.5 * f * kt) - 1.0).abs() < 0.015,
            "{ensemble:?}: {mean}"
        );
        assert!(
            (variance / (0.5 * f * kt * kt) - 1.0).abs() < 0.15,
            "{ensemble:?}: {variance}"
        );
        potential.push(moments(&energies).0);
    }
    let kt = BOLTZMANN * temperature;
    // Nearly harmonic: about 3/2 N kT above the minimum, N = 32; agree within 2 % of that.
    assert!(
        (potential[0] - potential[1]).abs() < 0.02 * 48.0 * kt,
        "{potential:?}"
    );
}

/// Volume distribution of the ideal gas: V^N exp(-PV/kT), so mean (N+1) kT/P and variance
/// (N+1) (kT/P)². Few atoms, so that the +1 counts.
#[test]
fn the_barostat_samples_the_ideal_gas() {
    let temperature = 300.0;
    let pressure = 0.05;
    let unit = BOLTZMANN * temperature / (pressure / EV_PER_A3_IN_GPA);
    for (thermostat, anisotropic) in [
        (Thermostat::Svr { tau: 0.05 }, Anisotropy::Shape),
        (Thermostat::Langevin { friction: 20.0 }, Anisotropy::Shape),
        (Thermostat::Langevin { friction: 20.0 }, Anisotropy::Axes),
    ] {
        let barostat = Barostat {
            tau: 1.0,
            compressibility: 1.0 / pressure,
            anisotropic,
        };
        let mut o = options(Ensemble::Npt(thermostat, barostat), temperature, 0.005);
        o.pressure = (pressure, pressure);
        let mut gas = IdealGas;
        let mut md = Md::new(&mut gas, &argon_grid(2, (9.0 * unit / 8.0).cbrt()), &o).unwrap();
        let mut volumes = Vec::new();
        md.run(&mut gas, 400_000, |md| {
            volumes.push(md.state().structure.cell.volume());
        })
        .unwrap();
        let (mean, variance) = moments(&volumes);
        // dV by axes is dLx dLy dLz, so that the measure is the same; 2000 ps over a correlation
        // time near 1 ps.
        assert!(
            (mean / (9.0 * unit) - 1.0).abs() < 0.03,
            "{thermostat:?} {anisotropic:?}: {}",
            mean / unit
        );
        assert!(
            (variance / (9.0 * unit * unit) - 1.0).abs() < 0.12,
            "{thermostat:?} {anisotropic:?}: {}",
            variance / unit / unit
        );
    }
}

/// A crystal follows the pressure ramp: the mean pressure is the target and the volume shrinks.
#[test]
fn a_crystal_takes_the_target_pressure() {
    for anisotropic in [Anisotropy::Shape, Anisotropy::Axes, Anisotropy::Full] {
        let mut lj = LennardJones::argon();
        let barostat = Barostat {
            tau: 0.5,
            compressibility: 0.3,
            anisotropic,
        };
        let mut o = options(
            Ensemble::Npt(Thermostat::Svr { tau: 0.1 }, barostat),
            30.0,
            0.01,
        );
        o.pressure = (0.0, 0.2);
        o.steps = 1000;
        let mut md = Md::new(&mut lj, &argon_fcc(3, 5.4), &o).unwrap();
        let before = md.state().structure.cell.volume();
        md.run(&mut lj, 1500, |_| {}).unwrap();
        let mut pressures = Vec::new();
        md.run(&mut lj, 4000, |md| pressures.push(md.state().pressure()))
            .unwrap();
        let (mean, _) = moments(&pressures);
        assert!((mean - 0.2).abs() < 0.01, "{mean}");
        assert!(md.state().structure.cell.volume() < 0.97 * before);
    }
}

#[test]
fn options_are_checked() {
    let good = options(Ensemble::svr(0.1), 300.0, 0.001);
    assert!(good.validate().is_ok());
    for bad in [
        MdOptions {
            timestep: 0.0,
            ..good
        },
        MdOptions {
            temperature: (300.0, f64::NAN),
            ..good
        },
        MdOptions {
            ensemble: Ensemble::svr(-1.0),
            ..good
        },
        MdOptions {
            ensemble: Ensemble::langevin(0.0),
            ..good
        },
        MdOptions {
            ensemble: Ensemble::npt(0.1, 0.0),
            ..good
        },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    let mut ramp = good;
    ramp.temperature = (300.0, 500.0);
    assert_eq!(ramp.temperature_at(500), 400.0);
    assert_eq!(ramp.temperature_at(5000), 500.0);
    let mut open = argon_fcc(1, 5.4);
    open.cell = nepal::Cell::isolated();
    let npt = MdOptions {
        ensemble: Ensemble::npt(0.1, 1.0),
        ..good
    };
    assert!(Md::new(&mut IdealGas, &open, &npt).is_err());
}

/// A crystal that is all cell: V₀ [c11/2 Σ E_aa² + 2 c44 Σ_(a<b) E_ab²] with Green's strain E, c11 and c44 in eV/Å³.
struct ElasticCell {
    edge: f64,
    c11: f64,
    c44: f64,
}

impl ElasticCell {
    /// Green's strain (F Fᵀ - 1)/2 of a cell that was a cube, rows first.
    fn green(&self, cell: &nepal::Cell) -> ([[f64; 3]; 3], [[f64; 3]; 3]) {
        let f = cell.vectors().map(|v| v.map(|x| x / self.edge));
        let of = |a: usize, b: usize| {
            let product: f64 = (0..3).map(|k| f[a][k] * f[b][k]).sum();
            0.5 * (product - f64::from(u8::from(a == b)))
        };
        (
            f,
            std::array::from_fn(|a| std::array::from_fn(|b| of(a, b))),
        )
    }
}

impl Potential for ElasticCell {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let (f, e) = self.green(&s.cell);
        let volume = self.edge.powi(3);
        let stress = |a: usize, b: usize| e[a][b] * if a == b { self.c11 } else { 2.0 * self.c44 };
        let (mut energy, mut virial) = (0.0, [0.0; 9]);
        for a in 0..3 {
            for b in 0..3 {
                energy += 0.5 * volume * stress(a, b) * e[a][b];
                for c in 0..3 {
                    for d in 0..3 {
                        virial[3 * c + d] -= volume * f[a][c] * stress(a, b) * f[b][d];
                    }
                }
            }
        }
        Ok((energy, vec![[0.0; 3]; s.len()], virial))
    }
}

/// Strains of a stiff cell fluctuate by its elastic constants, <E_aa²> - <E_aa>² = kT/(V c11) and
/// <E_ab²> = kT/(4 V c44), all six; its atoms have no more energy for it.
#[test]
fn the_full_barostat_samples_elastic_fluctuations() {
    let temperature = 300.0;
    let mut potential = ElasticCell {
        edge: 8.0,
        c11: 1.2,
        c44: 0.5,
    };
    let barostat = Barostat {
        tau: 0.1,
        compressibility: 0.02,
        anisotropic: Anisotropy::Full,
    };
    let thermostat = Thermostat::Langevin { friction: 20.0 };
    let mut o = options(Ensemble::Npt(thermostat, barostat), temperature, 0.002);
    o.pressure = (0.0, 0.0);
    let start = argon_grid(2, 4.0);
    let mut md = Md::new(&mut potential, &start, &o).unwrap();
    let mut strains: [Vec<f64>; 6] = Default::default();
    let mut kinetic = Vec::new();
    let measure = ElasticCell {
        edge: 8.0,
        ..potential
    };
    md.run(&mut potential, 300_000, |md| {
        let (_, e) = measure.green(&md.state().structure.cell);
        let six = [e[0][0], e[1][1], e[2][2], e[1][2], e[0][2], e[0][1]];
        strains.iter_mut().zip(six).for_each(|(all, e)| all.push(e));
        kinetic.push(md.state().temperature());
    })
    .unwrap();
    let unit = BOLTZMANN * temperature / 512.0;
    for (k, all) in strains.iter().enumerate() {
        let (mean, variance) = moments(all);
        let expected = if k < 3 {
            unit / 1.2
        } else {
            unit / (4.0 * 0.5)
        };
        // 600 ps over a correlation time near 0.1 ps.
        assert!(
            (variance / expected - 1.0).abs() < 0.08,
            "{k}: {}",
            variance / expected
        );
        assert!(
            mean.abs() < 2.0 * expected.sqrt() * if k < 3 { 1.0 } else { 0.05 },
            "{k}: {mean}"
        );
    }
    let (mean, _) = moments(&kinetic);
    assert!((mean / temperature - 1.0).abs() < 0.02, "{mean}");
}
