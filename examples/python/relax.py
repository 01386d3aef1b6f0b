"""Relax silicon with its cell, by ASE: a strained, rattled crystal finds back to diamond.

    python examples/python/relax.py examples/data
"""

import sys

from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from nepal.ase import Nepal


def main(data):
    atoms = bulk("Si", "diamond", a=5.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = Nepal(f"{data}/nep.txt")
    with BFGS(FrechetCellFilter(atoms), logfile=None) as optimiser:
        converged = optimiser.run(fmax=1e-4, steps=200)
    print(f"converged: {converged}")
    print(f"lattice constant: {atoms.get_volume() ** (1 / 3):.4f} A")
    print(f"energy: {atoms.get_potential_energy() / len(atoms):.5f} eV/atom")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples/data")
