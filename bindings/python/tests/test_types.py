"""What `py.typed` promises: the package and programs that use it pass `mypy --strict`."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("mypy", reason="SKIPPED: needs mypy")

PROGRAM = """
import nepal
import numpy as np

model = nepal.Model("nep.txt")
calculator = nepal.Calculator(model, "set.nas", threads=2)
atoms = nepal.Structure(np.zeros((1, 3)), ["Si"], cell=[5.0, 5.0, 5.0])
found = calculator.compute(atoms, ["energy", "forces"])
forces, virial = calculator.contract(atoms, np.zeros((1, model.dim)))
largest: float = forces.max()


def show(fragment: nepal.Fragment) -> None:
    print(fragment.summary, fragment.grade, fragment.symbols)


calculator.on_fragment(show, save=2.0)
ranks: dict[str, int] = nepal.active_set(model, [atoms], kind="compat").ranks
"""


def mypy(*arguments):
    """What mypy says of some files; none if it is content."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *map(str, arguments)],
        env={**os.environ, "MYPYPATH": str(ROOT / "bindings" / "python")},
        capture_output=True, text=True,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_package_is_annotated():
    assert mypy(ROOT / "bindings" / "python" / "nepal") == ""


def test_programs_are_checked(tmp_path):
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(PROGRAM)
    wrong.write_text(PROGRAM + "calculator.learn(atoms, threshold='high')\n")
    assert mypy(right) == ""
    assert '"threshold"' in mypy(wrong)
