"""Energy, forces and the largest grade of eight silicon atoms. From the repository's root:

    pip install ./bindings/python
    python examples/python/energy_forces.py examples/data
"""

import sys

import nepal


def main(data):
    model = nepal.Model(f"{data}/nep.txt")
    calculator = nepal.Calculator(model, f"{data}/active_set.nas")
    # Diamond, a little distorted, one atom far off its place. Å.
    atoms = nepal.Structure(
        [
            [0.0426, -0.0087, 0.0581],
            [0.0255, 2.6691, 2.7225],
            [2.8093, -0.0224, 2.6925],
            [2.7301, 2.7817, -0.0612],
            [1.9529, 1.7849, 1.0139],
            [1.4183, 3.9930, 4.0595],
            [4.1556, 1.4575, 4.0331],
            [4.0636, 4.0584, 1.3466],
        ],
        ["Si"] * 8,
        cell=[5.431, 5.431, 5.431],
    )
    found = calculator.compute(atoms, ["energy", "forces", "grade"])

    print(f"energy: {found['energy']:.6f} eV")
    for i, (x, y, z) in enumerate(found["forces"]):
        print(f"force on atom {i}: {x:.6f} {y:.6f} {z:.6f} eV/A")
    largest = found["grade"].argmax()
    print(f"largest grade: {found['grade'][largest]:.6f}, atom {largest}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "examples/data")
    except (nepal.Error, OSError) as error:
        sys.exit(str(error))
