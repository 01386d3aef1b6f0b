"""The examples run and say what they should."""

import importlib.util
import re

import pytest
from conftest import EXAMPLES, ROOT


def run(name, capsys, *arguments):
    path = ROOT / "examples" / "python" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(str(EXAMPLES), *arguments)
    return capsys.readouterr().out


def test_relax(capsys):
    out = run("relax", capsys)
    assert "converged: True" in out
    constant = float(re.search(r"constant: (\S+) A", out)[1])
    # The minimum of the equation of state, found without ASE in the unit test of units.
    assert constant == pytest.approx(5.457, abs=0.003)


def test_md_stops_and_keeps_fragments(capsys, tmp_path):
    out = run("md", capsys, str(tmp_path / "fragments.xyz"))
    assert re.search(r"stopped at step \d+: atom \d+ has the ridge grade", out)
    kept = int(re.search(r"fragments kept: (\d+)", out)[1])
    from ase.io import read

    assert len(read(tmp_path / "fragments.xyz", ":")) == kept >= 1


def test_phonons(capsys):
    pytest.importorskip("phonopy")
    out = run("phonons", capsys)
    gamma = [float(x) for x in re.search(r"Gamma: (.*) THz", out)[1].split()]
    x = [float(x) for x in re.search(r"X: (.*) THz", out)[1].split()]
    assert max(gamma[:3]) < 0.02
    # Silicon: optical modes near 15 THz, threefold at the centre; at X all come in pairs.
    assert gamma[3:] == pytest.approx([gamma[3]] * 3, abs=0.02) and 13 < gamma[3] < 17
    assert x[0::2] == pytest.approx(x[1::2], abs=0.02) and 3 < x[0] < 6
