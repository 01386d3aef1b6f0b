"""Campaigns from Python, with functions that label and explore."""

import sys
import textwrap

import numpy as np
import pytest
from conftest import program_found

import nepal

pytestmark = program_found

FUNCTIONS = """
import numpy as np


def label(atoms, stiffness=3.0):
    # Springs between neighbours: cheap, smooth, and with a stress.
    from ase.calculators.lj import LennardJones

    atoms.calc = LennardJones(sigma=2.1, epsilon=0.5, rc=5.0, smooth=True)
    return {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}


def broken(atoms):
    return {"energy": 1.0, "forces": np.zeros((1, 3))}


def explore(atoms, run):
    draw = np.random.default_rng(run.seed)
    for step in range(0, run.steps, 10):
        walker = atoms.copy()
        walker.positions += draw.normal(0, 0.02 + 0.3 * step / run.steps, walker.positions.shape)
        walker.info.update(step=step, temperature=run.temperature[0])
        yield walker
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("functions", None)
    import functions

    yield functions
    sys.modules.pop("functions", None)


def settings(functions):
    cell = {"prototype": "fcc", "elements": ["Ar"], "lattice": 3.3}
    return {
        "title": "Argon, from Python",
        "directory": "work",
        "seed": 3,
        "threads": 1,
        "model": {
            "first_epochs": 20, "epochs": 10, "final_epochs": 10,
            "nep_in": "type 1 Ar\ncutoff 4 3.5\nn_max 2 2\nbasis_size 4 4\nl_max 2 0 0\nneuron 4\n",
        },
        "label": functions.label,
        "initial": [{**cell, "rattle": 0.05, "volume_strain": 0.03, "count": 5}],
        "test": [{**cell, "rattle": 0.05, "count": 2}],
        "grade": {"save": 1.2, "break": 4.0, "every": 10, "spacing": 10},
        "explore": [{
            "name": "kicks", "start": {**cell, "repeat": [2, 1, 1]}, "ensemble": "nve", "temperature": [30, 30],
            "steps": 100, "engine": functions.explore,
        }],
        "select": {"max_structures": 3},
        "stop": {"max_rounds": 2},
    }


def test_a_campaign_of_functions(functions, tmp_path):
    campaign = nepal.Campaign.create(tmp_path / "argon.toml", settings(functions))
    text = (tmp_path / "argon.toml").read_text()
    assert 'function = "functions.py:label"' in text and '"functions.py:explore"' in text
    assert campaign.plan()["to_compute"] == 7
    heard = []
    with pytest.raises(nepal.Failed, match="no model yet"):
        campaign.result()
    outcome = campaign.run(progress=heard.append)
    assert outcome["rounds"] == 2 and outcome["labels"] > 5
    assert {"label", "train", "explore", "select"} <= {event.step for event in heard if event.kind == "step"}
    status = campaign.status()
    assert not status["running"] and status["ended"]
    rounds = campaign.rounds
    assert list(rounds["round"]) == [0, 1] and np.isfinite(rounds["force_rmse"]).all()
    labels = campaign.labels()
    assert len(labels) == outcome["labels"]
    explored = [atoms for atoms in labels if atoms.info.get("scenario") == "kicks"]
    assert explored, "what the function found was labelled"
    # The label is what the function says of that structure.
    first = labels[0]
    told = functions.label(first.copy())
    assert first.get_potential_energy() == pytest.approx(told["energy"], abs=1e-9)
    assert first.get_stress() == pytest.approx(told["stress"], abs=1e-9)
    model, active = campaign.result()
    assert model.elements == ("Ar",) and active.kind == "ridge"
    more = campaign.label([first])
    assert more[0].get_potential_energy() == pytest.approx(told["energy"], abs=1e-9)
    assert campaign.report().endswith(".html")
    assert campaign.resume() == []


def test_docstrings_run(functions, tmp_path):
    import doctest

    from nepal import _campaign

    names = {"nepal": nepal, "folder": tmp_path, "settings": settings(functions)}
    failed, tried = doctest.testmod(_campaign, extraglobs=names)
    assert tried > 0 and failed == 0


def test_what_a_function_does_wrong_is_told(functions, tmp_path):
    made = settings(functions)
    made["label"] = {"kind": "ase", "function": functions.broken}
    campaign = nepal.Campaign.create(tmp_path / "broken.toml", made)
    with pytest.raises(nepal.Error, match=r"forces of the shape \(1, 3\); expected \(4, 3\)"):
        campaign.run()
    assert campaign.status()["labels"]["done"] == 0


def test_what_no_campaign_file_can_hold(functions, tmp_path):
    made = settings(functions)
    made["label"] = lambda atoms: {}
    with pytest.raises(nepal.InvalidArgument, match="top of a file"):
        nepal.Campaign.create(tmp_path / "a.toml", made)
    made = settings(functions)
    made["seed"] = object()
    with pytest.raises(nepal.InvalidArgument, match="texts, numbers, lists"):
        nepal.Campaign.create(tmp_path / "a.toml", made)
    made = settings(functions)
    made["explore"][0]["engine"] = {"kind": "python", "function": "explore"}
    campaign = nepal.Campaign.create(tmp_path / "a.toml", made)
    with pytest.raises(nepal.InvalidArgument, match="FILE.py:name"):
        campaign.run()
    with pytest.raises(nepal.InvalidArgument, match="exists"):
        nepal.Campaign.create(tmp_path / "a.toml", settings(functions))
