"""Phonons of silicon by phonopy, at the zone's centre and its edge X.

    pip install phonopy
    python examples/python/phonons.py examples/data
"""

import sys

import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

import nepal


def main(data):
    calculator = nepal.Calculator(f"{data}/nep.txt")
    a = 5.431
    cell = PhonopyAtoms(
        symbols=["Si", "Si"],
        cell=a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        scaled_positions=[[0, 0, 0], [0.25, 0.25, 0.25]],
    )
    phonons = Phonopy(cell, supercell_matrix=4 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonons.generate_displacements(distance=0.01)
    forces = []
    for moved in phonons.supercells_with_displacements:
        atoms = nepal.Structure(moved.positions, moved.symbols, moved.cell)
        forces.append(calculator.compute(atoms, ["forces"])["forces"])
    phonons.forces = np.array(forces)
    phonons.produce_force_constants()
    phonons.symmetrize_force_constants()
    phonons.run_qpoints([[0, 0, 0], [0.5, 0.5, 0]])
    for name, frequencies in zip(("Gamma", "X"), phonons.qpoints.frequencies):
        # The three acoustic ones are zero at the centre, up to rounding of either sign.
        print(f"{name}: " + " ".join(f"{abs(f):.2f}" for f in frequencies) + " THz")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples/data")
