"""The ASE calculators: derivatives by ASE's own finite differences, ASE's conventions, caching."""

import copy

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read
from conftest import EXAMPLES, model, reference

import nepal
from nepal.ase import Committee, Nepal


def test_forces_and_stress_are_derivatives(calc, diamond):
    diamond.calc = calc
    forces = calculate_numerical_forces(diamond, eps=1e-4)
    assert np.abs(forces - diamond.get_forces()).max() < 1e-5
    stress = calculate_numerical_stress(diamond, eps=1e-5)
    assert np.abs(stress - diamond.get_stress()).max() < 1e-6


def test_an_alloy_with_zbl_has_right_derivatives():
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[1] = 13
    atoms.rattle(0.1, seed=1)
    atoms.calc = Nepal(model("unep_v1_16_metals"))
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(forces - atoms.get_forces()).max() < 1e-5
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    assert np.abs(stress - atoms.get_stress()).max() < 1e-6


def test_sums_and_signs_are_ases(calc, diamond):
    diamond.calc = calc
    assert diamond.get_potential_energies().sum() == pytest.approx(diamond.get_potential_energy())
    assert np.allclose(diamond.get_stresses().sum(axis=0), diamond.get_stress(), atol=1e-10)
    assert diamond.get_potential_energy(force_consistent=True) == diamond.get_potential_energy()
    virial = calc.get_property("virial", diamond)
    volume = diamond.get_volume()
    assert np.allclose(diamond.get_stress(voigt=False), -virial / volume)
    # Compressed, the crystal pushes outwards: stress is negative, the virial positive.
    diamond.set_cell(0.95 * diamond.cell, scale_atoms=True)
    assert diamond.get_stress()[:3].max() < 0
    assert calc.get_property("virial", diamond).trace() > 0


def test_results_are_kept_until_the_atoms_change(calc, diamond):
    diamond.calc = calc
    diamond.get_potential_energy()
    assert not calc.calculation_required(diamond, ["energy", "forces", "stress"])
    assert calc.calculation_required(diamond, ["grade"])
    step = calc.step
    grades = calc.get_grades(diamond)
    assert calc.step == step, "grades of the same atoms are no new step"
    assert not calc.calculation_required(diamond, ["energy", "gamma", "rho", "grade"])
    energy = diamond.get_potential_energy()
    diamond.positions[0] += 0.1
    assert calc.calculation_required(diamond, ["energy"])
    assert diamond.get_potential_energy() != energy
    assert not np.array_equal(calc.get_grades(diamond), grades)
    # Called by hand, as some drivers do.
    moved = diamond.copy()
    moved.positions[0] += 0.1
    calc.calculate(moved, ["energy"])
    fresh = Nepal(calc.model)
    assert calc.results["energy"] == fresh.get_potential_energy(moved)


def test_a_new_active_set_gives_new_grades(calc, silicon, si8):
    si8.calc = calc
    first = calc.get_grades(si8)
    calc.active_set = nepal.active_set(silicon, [si8])
    assert calc.get_grades(si8).max() <= 1.01 < first.max()
    calc.active_set = None
    with pytest.raises(nepal.InvalidArgument, match="active set"):
        calc.get_grades(si8)


def test_features(calc, silicon, diamond):
    diamond.calc = calc
    assert calc.get_descriptors(diamond).shape == (8, silicon.dim)
    assert calc.get_projections(diamond).shape == (8, silicon.projection_length)


def test_a_trajectory_and_extended_xyz_keep_results(calc, diamond, tmp_path):
    diamond.calc = calc
    energy, forces, stress = (
        diamond.get_potential_energy(),
        diamond.get_forces(),
        diamond.get_stress(),
    )
    calc.get_grades(diamond)
    for name in ("one.traj", "one.xyz"):
        diamond.write(tmp_path / name)
        again = read(tmp_path / name)
        assert again.get_potential_energy() == pytest.approx(energy, abs=1e-6)
        assert np.allclose(again.get_forces(), forces, atol=1e-6)
        assert np.allclose(again.get_stress(), stress, atol=1e-6)
    assert set(calc.export_properties()) >= {"energy", "forces", "stress", "energies"}


def test_open_boundaries_have_no_stress(calc, si8):
    si8.pbc = False
    si8.cell = None
    si8.calc = calc
    assert np.isfinite(si8.get_potential_energy())
    assert np.allclose(si8.get_forces().sum(axis=0), 0, atol=1e-10)
    with pytest.raises((nepal.InvalidArgument, ValueError), match="cell|volume"):
        si8.get_stress()


def test_copies_are_independent(calc, diamond):
    other = copy.deepcopy(calc)
    a, b = diamond.copy(), diamond.copy()
    b.positions[0, 0] += 0.2
    a.calc, b.calc = calc, other
    assert a.get_potential_energy() != b.get_potential_energy()
    assert a.get_potential_energy() == Nepal(calc.model).get_potential_energy(a)


def test_a_committee_of_equals_agrees_and_of_others_does_not(silicon, diamond):
    single = Nepal(silicon)
    twins = Committee([silicon, silicon])
    diamond.calc = twins
    assert diamond.get_potential_energy() == single.get_potential_energy(diamond)
    assert np.allclose(diamond.get_stress(), single.get_stress(diamond))
    assert twins.results["forces_std"].max() == 0 == twins.results["energy_std"]

    other = model("si_2022_nep4_5body")
    pair = Committee([silicon, other])
    diamond.calc = pair
    members = [Nepal(m).get_forces(diamond) for m in (silicon, other)]
    assert np.allclose(diamond.get_forces(), (members[0] + members[1]) / 2)
    # Of two, each is half their difference from the mean.
    half = np.linalg.norm(members[0] - members[1], axis=1) / 2
    assert np.allclose(pair.get_property("forces_std", diamond), half)
    assert pair.get_property("forces_max", diamond) == half.max()
    assert pair.get_property("committee_forces", diamond).shape == (2, 8, 3)
    with pytest.raises(nepal.InvalidArgument, match="two models"):
        Committee([EXAMPLES / "nep.txt"])


def test_charges_dipoles_and_polarizabilities_have_the_names_of_ase():
    atoms, expected = next(reference("water_qnep_mode1"))
    atoms.calc = Nepal(model("water_qnep_mode1"))
    assert np.allclose(atoms.get_charges(), expected["charges"])
    born = np.reshape(expected["born_effective_charges"], (-1, 3, 3))
    assert np.allclose(atoms.calc.get_born_effective_charges(atoms), born)
    assert atoms.get_potential_energy() == pytest.approx(expected["energy"])
    assert "dipole" not in atoms.calc.implemented_properties
    atoms, expected = next(reference("water_dipole_nep4"))
    atoms.calc = Nepal(model("water_dipole_nep4"))
    assert np.allclose(atoms.get_dipole_moment(), expected["dipole"])
    atoms, expected = next(reference("bazro3_polarizability_nep4"))
    atoms.calc = Nepal(model("bazro3_polarizability_nep4"))
    found = atoms.calc.get_polarizability(atoms)
    assert np.allclose(np.diag(found), expected["polarizability"][:3])
    atoms, expected = next(reference("synthetic_variants/nep4_temperature"))
    hot = {"temperature": expected["temperature"]}
    atoms.calc = Nepal(model("synthetic_variants/nep4_temperature"), conditions=hot)
    assert atoms.get_potential_energy() == pytest.approx(expected["energy"])


def test_deviations_come_with_a_posterior(silicon, si8):
    path = EXAMPLES / "posterior.json"
    calc = Nepal(silicon, posterior=path)
    si8.calc = calc
    sigma = calc.get_sigma(si8)
    assert sigma.shape == (8,) and sigma[4] > 10 * sigma[0] > 0
    parts = calc.get_property("sigma_energies", si8)
    whole = calc.get_property("sigma_energy", si8)
    assert isinstance(whole, float) and 0 < whole <= parts.sum()
    again = copy.deepcopy(calc)
    assert np.array_equal(again.get_sigma(si8), sigma)
    direct = nepal.Calculator(silicon, posterior=nepal.Posterior(path, silicon))
    out = {"sigma": np.empty(8)}
    direct.compute(si8, ["sigma"], out=out)
    assert np.allclose(out["sigma"], sigma, rtol=1e-12)
    value, forces, virial = direct.contract_sigma(si8)
    assert value == pytest.approx(whole, rel=1e-12) and virial.shape == (3, 3)
    moved = []
    for shift in (1e-5, -1e-5):
        other = si8.copy()
        other.positions[4, 0] += shift
        moved.append(direct.contract_sigma(other)[0])
    assert forces[4, 0] == pytest.approx((moved[1] - moved[0]) / 2e-5, rel=1e-5)
    direct.posterior = None
    with pytest.raises(nepal.InvalidArgument, match="no posterior"):
        direct.compute(si8, ["sigma"])
    with pytest.raises(nepal.InvalidArgument, match="another model"):
        nepal.Posterior(path, model("pbte_nep_train"))
