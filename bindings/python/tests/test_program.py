"""nepal-loop through Python: training, selection, fragments, audits, and what can go wrong."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from conftest import EXAMPLES, program_found

import nepal
from nepal import _files, _program
from nepal.ase import Nepal

pytestmark = program_found

SETTINGS = {"type": [1, "Si"], "cutoff": [4.5, 4], "n_max": [2, 2], "basis_size": [4, 4],
            "l_max": [2, 0, 0], "neuron": 4}
QUICK = {"epochs": 4, "threads": 1, "seed": 1}


@pytest.fixture(scope="session")
def labelled():
    """Cells of silicon with the labels of the example's model."""
    made = []
    for seed in range(6):
        atoms = bulk("Si", "diamond", a=5.45, cubic=True)
        atoms.rattle(0.08, seed=seed)
        atoms.calc = Nepal(EXAMPLES / "nep.txt")
        results = {k: atoms.calc.get_property(k, atoms) for k in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


@pytest.fixture
def candidates():
    made = []
    for scale in (1.0, 1.15, 0.9):
        atoms = bulk("Si", "diamond", a=5.45 * scale, cubic=True)
        atoms.rattle(0.1, seed=7)
        made.append(atoms)
    return made


def test_training_from_atoms(labelled, tmp_path):
    heard = []
    made = nepal.train(SETTINGS, labelled[:5], test=labelled[5:], out=tmp_path / "nep.txt", progress=heard.append, **QUICK)
    assert made.model.elements == ("Si",)
    assert made.train["n_forces"] == 40 and made.test["n_virials"] == 1
    assert list(made.history["epoch"]) == [0, 1, 2, 3, 4]
    assert made.history["force_train"][-1] == pytest.approx(made.train["force_rmse"], rel=0.5)
    assert any(event.kind == "progress" and event.what == "training" for event in heard)
    forces = made.predictions("force", "test")
    assert forces.shape == (8, 6)
    assert forces[:, 3:] == pytest.approx(labelled[5].get_forces(), abs=1e-4)
    with pytest.raises(nepal.InvalidArgument, match="energy, force or virial"):
        made.predictions("charge")


def test_labels_pass_unchanged(labelled, tmp_path):
    path = tmp_path / "a.xyz"
    _files.write(labelled, path)
    for before, after in zip(labelled, read(path, ":")):
        assert after.get_potential_energy() == before.get_potential_energy()
        assert (after.get_forces() == before.get_forces()).all()
        assert after.get_stress() == pytest.approx(before.get_stress(), abs=1e-15)


def test_tables_become_pandas(labelled, tmp_path):
    pandas = pytest.importorskip("pandas", reason="SKIPPED: needs pandas")
    made = nepal.train(SETTINGS, labelled, out=tmp_path / "nep.txt", **QUICK)
    table = made.history.pandas()
    assert isinstance(table, pandas.DataFrame) and len(table) == 5


def test_selection(silicon, silicon_set, candidates):
    chosen = nepal.select(silicon, silicon_set, candidates, max=2, method="grade", threshold=1)
    grades = [Nepal(silicon, silicon_set).get_property("grade", atoms).max() for atoms in candidates]
    order = np.argsort(grades)[::-1]
    assert list(chosen["frame"]) == list(order[:2])
    assert chosen["grade"][0] == pytest.approx(max(grades), rel=1e-6)
    # The second is judged with the first in the set.
    assert 1 < chosen["grade"][1] < np.sort(grades)[-2]
    assert chosen.structures[0] is candidates[order[0]]


def test_fragments(silicon, silicon_set, candidates):
    found = nepal.fragments(silicon, silicon_set, candidates[1:2], threshold=0, max_per_frame=1, no_optimise=True)
    assert len(found) == 1 and {"core", "parent_id"} <= set(found[0].arrays)
    assert nepal.fragments(silicon, silicon_set, candidates, threshold=1e9) == []


def test_audit(silicon, labelled, tmp_path):
    page = tmp_path / "audit.html"
    # Warnings are Python's where nobody listens.
    with pytest.warns(UserWarning, match="needs at least 2850 environments, found 32"):
        found = nepal.audit(silicon, labelled[:4], labelled[4:], out=page)
    assert found["notes"] is not None and page.read_text().startswith("<!DOCTYPE html>")


def test_active_sets_are_built(silicon, labelled):
    built = nepal.ActiveSet.build(silicon, labelled, resolution=40)
    assert built.kind == "ridge" and built.ranks["Si"] > 0


def test_errors_are_the_library_s(tmp_path, labelled):
    with pytest.raises(nepal.ParseError, match="nep.in:1.*typo|typo"):
        nepal.train("typo 3\n", labelled, **QUICK)
    with pytest.raises(nepal.FileError, match="no-such-file"):
        nepal.train(SETTINGS, tmp_path / "no-such-file.xyz", **QUICK)
    with pytest.raises(nepal.InvalidArgument, match="--epoch"):
        nepal.train(SETTINGS, labelled, epoch=3)
    with pytest.raises(nepal.InvalidArgument, match="no structures"):
        nepal.train(SETTINGS, [], **QUICK)
    with pytest.raises(nepal.InvalidArgument, match="no campaign file"):
        nepal.Campaign(tmp_path / "none.toml")


def script(tmp_path, text):
    path = tmp_path / "nepal-loop"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_programs_that_are_missing_or_another_s(tmp_path, monkeypatch):
    monkeypatch.setenv("NEPAL_LOOP", str(tmp_path / "none"))
    with pytest.raises(nepal.ProgramNotFound, match="NEPAL_LOOP is"):
        nepal.command("cite")
    monkeypatch.delenv("NEPAL_LOOP")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_program.sysconfig, "get_path", lambda *_: str(tmp_path))
    monkeypatch.setattr(_program.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ImportError, match="install the wheel nepal-nep"):
        nepal.command("cite")
    for text, kind, words in [
        ("echo \"error: unexpected argument '--output-mode' found\" >&2; exit 2", nepal.ProgramNotFound, "is it nepal's"),
        ("echo '{\"schema\": 99, \"kind\": \"cite\", \"data\": {}}'", nepal.ProgramNotFound, "schema 99"),
        ("echo no library >&2; exit 127", nepal.Error, "status 127; it said last: no library"),
        ("kill -9 $$", nepal.Error, "signal 9"),
        ("exit 0", nepal.Error, "no result"),
    ]:
        monkeypatch.setenv("NEPAL_LOOP", str(script(tmp_path, text)))
        with pytest.raises(kind, match=words):
            nepal.command("cite")


@pytest.fixture
def heard():
    """A shell leaves SIGINT ignored in what it starts in the background, and so does Python then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_at_a_safe_point(heard, labelled, tmp_path):
    started = threading.Event()

    def interrupt():
        started.wait(60)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            nepal.train(SETTINGS, labelled, out=tmp_path / "nep.txt", epochs=10**6, threads=1,
                        progress=lambda _: started.set())
    finally:
        started.set()
        thread.join()
    assert time.monotonic() - start < 60
    # What there was by then is kept, and goes on.
    assert (tmp_path / "nep.checkpoint.json").exists() or (tmp_path / "nep.txt").exists()


def test_a_callback_that_raises_ends_the_command(labelled, tmp_path):
    def refuse(_):
        raise LookupError("enough")

    start = time.monotonic()
    with pytest.raises(LookupError, match="enough"):
        nepal.train(SETTINGS, labelled, out=tmp_path / "nep.txt", epochs=10**6, threads=1, progress=refuse)
    # Also where it says more than a pipe holds.
    assert time.monotonic() - start < 20


def test_docstrings_run(silicon, silicon_set, labelled, candidates):
    import doctest

    names = {"nepal": nepal, "structures": labelled, "model": silicon, "active_set": silicon_set,
             "candidates": candidates}
    from nepal import _table, _training

    for module in (_training, _program, _table):
        failed, tried = doctest.testmod(module, extraglobs=names)
        assert tried > 0 and failed == 0, module.__name__


def test_python_that_reads_is_this_one(tmp_path, silicon, silicon_set, candidates):
    write(tmp_path / "c.traj", candidates)
    found = nepal.command(
        "predict", model=EXAMPLES / "nep.txt", structures=tmp_path / "c.traj", out=tmp_path / "out.xyz"
    )
    assert found["structures"] == 3 and sys.executable
