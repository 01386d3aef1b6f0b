"""Fragments from Python: around a named atom, during a run, and what stops a run."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.geometry import get_distances
from ase.io import read
from ase.md.langevin import Langevin

import nepal
from nepal.ase import Extrapolates, Monitor, Nepal


@pytest.fixture
def crystal():
    atoms = bulk("Si", "diamond", a=5.431, cubic=True) * (4, 4, 4)
    atoms.rattle(0.03, seed=1)
    atoms.positions[4] += [0.9, 0.4, 0.0]
    return atoms


def test_the_target_sees_what_it_sees_in_the_parent(calc, crystal):
    fragment = nepal.fragment(calc, crystal, 4, optimise=False, max_atoms=120)
    assert len(fragment) <= 120 and not fragment.whole
    assert fragment.target_tag == 4 and fragment.parent[fragment.target] == 4
    assert fragment.core[fragment.target] and fragment.mask[fragment.target] == 1
    assert fragment.grade > 2 and fragment.grades is None
    cutoff = calc.model.cutoff

    def seen(atoms, i):
        vectors, distances = get_distances(
            atoms.positions[i], atoms.positions, cell=atoms.cell, pbc=atoms.pbc
        )
        near = (distances[0] < cutoff) & (distances[0] > 1e-9)
        return vectors[0][near][np.lexsort(vectors[0][near].round(4).T)]

    here, there = seen(fragment.to_ase(), fragment.target), seen(crystal, 4)
    assert here.shape == there.shape and len(here) > 10
    assert np.abs(here - there).max() < 1e-6


def test_optimised_fragments_know_their_boundary(calc, crystal):
    carved = nepal.fragment(calc, crystal, 4, optimise=False, max_atoms=100)
    assert carved.grades is None
    fragment = nepal.fragment(calc, crystal, 4, max_atoms=100)
    assert fragment.grades.shape == (len(fragment),)
    assert "exact to" in fragment.summary
    atoms = fragment.to_ase()
    assert set(atoms.arrays) >= {"force_mask", "core", "parent_id", "grade"}
    # The target's descriptors are the parent's: it is the same environment.
    parent = calc.calculator.compute(crystal, ["descriptors"])["descriptors"][4]
    found = calc.calculator.compute(atoms, ["descriptors"])["descriptors"][fragment.target]
    assert np.allclose(found, parent, rtol=1e-6, atol=1e-8)


def test_a_frame_survives_a_file_and_nepal_reads_it(calc, crystal, tmp_path):
    atoms = nepal.fragment(calc, crystal, 4, optimise=False, max_atoms=100).to_ase()
    atoms.write(tmp_path / "fragment.xyz", format="extxyz")
    again = read(tmp_path / "fragment.xyz")
    assert np.allclose(again.get_array("force_mask"), atoms.get_array("force_mask"))


def test_refusals_say_why(silicon, crystal):
    with pytest.raises(nepal.Failed, match="no fragment can be made around atom 4: .*n_max is 20"):
        nepal.fragment(silicon, crystal, 4, optimise=False, max_atoms=20)
    with pytest.raises(nepal.InvalidArgument, match="atom 9999 does not exist"):
        nepal.fragment(silicon, crystal, 9999)
    with pytest.raises(nepal.InvalidArgument, match="core_radius"):
        nepal.fragment(silicon, crystal, 4, core_radius=2.0)


def test_a_run_hands_over_each_environment_once(silicon, silicon_set, crystal):
    calculator = nepal.Calculator(silicon, silicon_set)
    found = []
    calculator.on_fragment(found.append, save=10.0, optimise=False, max_atoms=120)
    first = calculator.compute(crystal, ["grade"], tags=np.arange(512) + 1000, step=7)["grade"]
    assert first[4] > 10 and len(found) >= 1
    assert found[0].step == 7 and found[0].target_tag >= 1000
    delivered = len(found)
    counts = calculator.fragment_counts()
    assert counts["delivered"] == delivered
    again = calculator.compute(crystal, ["grade"])["grade"]
    assert again.max() <= 10 and len(found) == delivered
    calculator.on_fragment(None)
    with pytest.raises(nepal.InvalidArgument):
        calculator.fragment_counts()


def test_a_file_takes_fragments_without_python(silicon, silicon_set, crystal, tmp_path):
    calculator = nepal.Calculator(silicon, silicon_set)
    path = tmp_path / "fragments.xyz"
    calculator.fragments_to(path, save=10.0, optimise=False, max_atoms=120)
    calculator.compute(crystal, ["grade"], step=3)
    calculator.compute(crystal, ["grade"], step=4)
    delivered = calculator.fragment_counts()["delivered"]
    frames = read(path, ":")
    assert len(frames) == delivered >= 1
    assert frames[0].info["step"] == 3 and "mask" in frames[0].arrays
    calculator.fragments_to(None)
    with pytest.raises(nepal.FileError):
        calculator.fragments_to(tmp_path / "missing" / "fragments.xyz")


def test_an_exception_of_the_callback_ends_the_call(silicon, silicon_set, crystal):
    calculator = nepal.Calculator(silicon, silicon_set)

    def refuse(fragment):
        raise KeyError("enough")

    calculator.on_fragment(refuse, save=10.0, optimise=False, max_atoms=120)
    with pytest.raises(KeyError, match="enough"):
        calculator.compute(crystal, ["grade"])
    # The calculator is as good as before.
    calculator.on_fragment(None)
    assert calculator.compute(crystal, ["grade"])["grade"][4] > 10


def test_a_monitor_writes_fragments_and_halts(silicon, silicon_set, crystal, tmp_path):
    crystal.calc = Nepal(silicon, silicon_set)
    path = tmp_path / "fragments.xyz"
    dynamics = Langevin(
        crystal, 1 * units.fs, temperature_K=300, friction=0.01, rng=np.random.default_rng(1)
    )
    monitor = Monitor(
        crystal, save=10.0, halt=1e9, path=path, optimise=False, max_atoms=120, max_fragments=2
    )
    dynamics.attach(monitor, interval=2)
    dynamics.run(4)
    assert len(monitor.history) == 3
    written = read(path, ":")
    assert len(written) == len(monitor.fragments) >= 1
    monitor.halt = 0.5
    with pytest.raises(Extrapolates, match="ridge grade"):
        dynamics.run(4)
