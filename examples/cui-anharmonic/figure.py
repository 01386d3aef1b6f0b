#!/usr/bin/env python3
"""The double well of a copper ion: energy and grade along path.xyz, by GFN1-xTB and by models.

    python3 figure.py OUT.svg LABEL=nep.txt,active_set.asi ...

Needs: pip install nepal-nep ase matplotlib.
"""

import sys
from pathlib import Path

import ase.io
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from nepal.ase import Nepal


def main():
    images = ase.io.read(Path(__file__).parent / "path.xyz", ":")
    moved = [np.linalg.norm(i.positions - images[0].positions, axis=1).max() for i in images]
    truth = np.array([i.get_potential_energy() for i in images])
    figure, (energy, grade) = plt.subplots(2, 1, sharex=True, figsize=(5.2, 5.2), height_ratios=[2, 1])
    energy.plot(moved, truth - truth[0], "k-", marker="o", label="GFN1-xTB")
    for argument, style in zip(sys.argv[2:], ["--", "-.", "-", ":"]):
        label, files = argument.split("=")
        model, active_set = files.split(",")
        calculator = Nepal(model, active_set=active_set)
        found = []
        for image in images:
            atoms = image.copy()
            atoms.calc = calculator
            found.append((atoms.get_potential_energy(), calculator.get_grades(atoms).max()))
        e, g = np.array(found).T
        energy.plot(moved, e - e[0], style, label=label)
        grade.plot(moved, g, style)
        far = int(np.argmin(truth[len(truth) // 2 :])) + len(truth) // 2
        print(f"{label}: barrier {(e - e[0]).max():.2f} eV, well {e[far] - e[0]:.2f} eV, largest grade {g.max():.1f}")
    far = int(np.argmin(truth[len(truth) // 2 :])) + len(truth) // 2
    print(f"GFN1-xTB: barrier {(truth - truth[0]).max():.2f} eV, well {truth[far] - truth[0]:.2f} eV")
    energy.set_ylabel("energy (eV)")
    energy.legend(frameon=False)
    grade.axhline(1.5, color="0.6", lw=0.8)
    grade.set_yscale("log")
    grade.set_ylabel("largest grade")
    grade.set_xlabel("way of the copper ion (Å)")
    figure.tight_layout()
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
