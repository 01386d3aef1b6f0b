"""Active sets from Python: built, written, read by others, and what they say."""

import gzip
import json

import numpy as np
import pytest
from ase.io import read
from conftest import DATA, EXAMPLES, model

import nepal


def test_a_set_covers_what_it_was_built_from(silicon, si8):
    frames = read(EXAMPLES / "training.xyz", ":")
    built = nepal.active_set(silicon, frames)
    assert built.kind == "ridge"
    assert built.report.startswith("Si: 256 environments, ")
    assert built.ranks["Si"] > 6
    calculator = nepal.Calculator(silicon, built)
    largest = max(calculator.compute(atoms, ["gamma"])["gamma"].max() for atoms in frames)
    assert largest <= 1
    assert calculator.compute(si8, ["grade"])["grade"].max() > 5


def test_a_file_a_list_and_structures_without_ase_give_the_same_set(silicon, si8):
    frames = read(EXAMPLES / "training.xyz", ":")
    plain = [nepal.Structure(a.positions, a.numbers, a.cell.array) for a in frames]
    grades = [
        nepal.Calculator(silicon, nepal.active_set(silicon, given)).compute(
            si8, ["grade"]
        )["grade"]
        for given in (EXAMPLES / "training.xyz", frames, plain)
    ]
    assert np.array_equal(grades[0], grades[1]) and np.array_equal(grades[0], grades[2])
    stored = nepal.Calculator(silicon, EXAMPLES / "active_set.nas").compute(si8, ["grade"])
    assert np.allclose(grades[0], stored["grade"], rtol=1e-5)


def test_compat_sets_are_asi_text(tmp_path):
    """A compatible set takes as many environments as B has components: a small model, many atoms."""
    small = model("synthetic_variants/nep4_minimal")
    rng = np.random.default_rng(2)
    element = small.elements[0]
    frames = [
        nepal.Structure(rng.uniform(0, 9, (40, 3)), [element] * 40, cell=[9, 9, 9])
        for _ in range(4)
    ]
    with pytest.raises(nepal.InvalidArgument, match="compatibility form needs at least"):
        nepal.active_set(small, frames[0].__class__(np.eye(3), [element] * 3), kind="compat")
    built = nepal.active_set(small, frames, kind="compat")
    path = tmp_path / "active_set.asi"
    built.save(path)
    assert path.read_text().split()[0] == element
    again = nepal.ActiveSet(path, small)
    assert again.kind == built.kind == "compat"
    found = nepal.Calculator(small, again).compute(frames[0], ["gamma", "rho", "grade"])
    assert np.isnan(found["rho"]).all()
    assert np.array_equal(found["gamma"], found["grade"])
    assert found["gamma"].max() <= 1.01


def test_a_public_asi_file_gives_the_public_numbers(tmp_path):
    """γ of the PbTe set of the public scripts, from their own files."""
    folder = "active_set_pbte"
    text = b"".join(
        gzip.decompress((DATA / folder / f"active_set_{e}.asi.gz").read_bytes())
        for e in ("Te", "Pb")
    )
    path = tmp_path / "active_set.asi"
    path.write_bytes(text)
    pbte = model(folder)
    calculator = nepal.Calculator(pbte, path)
    expected = json.loads(gzip.decompress((DATA / folder / "gamma_ref.json.gz").read_bytes()))
    frame = expected["frames"][0]
    atoms = nepal.Structure(
        frame["positions"], frame["symbols"], cell=frame["cell"], pbc=frame.get("pbc", True)
    )
    found = calculator.compute(atoms, ["gamma"])["gamma"]
    assert np.allclose(found, frame["gamma"], rtol=1e-3, atol=1e-3)


def test_a_bad_structure_and_bad_options_are_named(silicon, si8):
    bad = si8.copy()
    bad.numbers[2] = 8
    with pytest.raises(nepal.InvalidArgument, match="structure 1: atom 2: .*O"):
        nepal.active_set(silicon, [si8, bad])
    with pytest.raises(nepal.InvalidArgument, match="kind is 'both'"):
        nepal.active_set(silicon, [si8], kind="both")
    with pytest.raises(nepal.InvalidArgument, match="tolerance"):
        nepal.active_set(silicon, [si8], tolerance=0.9)
    with pytest.raises(nepal.InvalidArgument, match="does not know 'Ge'"):
        nepal.active_set(silicon, [si8]).grade(np.zeros((1, silicon.projection_length)), "Ge")
