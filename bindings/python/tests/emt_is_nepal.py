"""A pytest plugin: wherever ASE's own tests take their EMT calculator, they get nepal.

    python -m pytest -p emt_is_nepal --pyargs ase.test.calculator.test_fd ...

The model is UNEP-v1, which knows EMT's metals but for those outside its sixteen.
"""

import gzip
import pathlib

import ase.calculators.emt

import nepal
from nepal.ase import Nepal

_FILE = pathlib.Path(__file__).resolve().parents[3] / "tests/data/unep_v1_16_metals/nep.txt.gz"
_MODEL = nepal.Model.parse(gzip.decompress(_FILE.read_bytes()), "UNEP-v1")


class EMT(Nepal):
    """Takes EMT's arguments, which mean nothing here."""

    created = 0

    def __init__(self, *_, **__):
        type(self).created += 1
        super().__init__(_MODEL)

    def __deepcopy__(self, memo):
        return type(self)()


ase.calculators.emt.EMT = EMT


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"nepal stood in for EMT {EMT.created} times")
