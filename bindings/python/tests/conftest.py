"""What the tests share. They need NEPAL_LIBRARY, or an installed nepal, and numpy, ase, phonopy; what drives
nepal-loop needs NEPAL_LOOP, or an installed nepal-loop."""

import gzip
import json
import pathlib

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

import nepal
from nepal import _program
from nepal.ase import Nepal

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data"
EXAMPLES = ROOT / "examples" / "data"


def _program_there():
    try:
        return bool(_program.find())
    except nepal.ProgramNotFound:
        return False


#: Mark of the tests that drive nepal-loop.
program_found = pytest.mark.skipif(not _program_there(), reason="nepal-loop is not installed: cargo build -p nepal-loop, and NEPAL_LOOP")


def data(name):
    """The bytes of a file of tests/data, unpacked if it is stored as .gz."""
    plain = DATA / name
    if plain.exists():
        return plain.read_bytes()
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def model(folder):
    return nepal.Model.parse(data(f"{folder}/nep.txt"), f"{folder}/nep.txt")


def reference(folder):
    """Frames of a reference file: atoms, and what another program computed."""
    for frame in json.loads(data(f"{folder}/ref.json"))["frames"]:
        atoms = Atoms(
            frame["symbols"], frame["positions"], cell=frame["cell"], pbc=frame["pbc"]
        )
        yield atoms, frame


@pytest.fixture(scope="session")
def silicon():
    return nepal.Model(EXAMPLES / "nep.txt")


@pytest.fixture(scope="session")
def silicon_set(silicon):
    return nepal.ActiveSet(EXAMPLES / "active_set.nas", silicon)


@pytest.fixture
def si8():
    return read(EXAMPLES / "si8.xyz")


@pytest.fixture
def diamond():
    """A cell whose atoms are all a little off their places."""
    from ase.build import bulk

    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    atoms.rattle(0.05, seed=3)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * np.array([[1, 2, 0], [0, -1, 1], [0, 0, 2]])),
                   scale_atoms=True)
    return atoms


@pytest.fixture
def calc(silicon, silicon_set):
    return Nepal(silicon, silicon_set)
