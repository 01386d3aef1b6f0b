#!/usr/bin/env python3
"""Temperature, and how rich in silicon the melt is, in the runs of in.liquidus, and a plot.

    python3 liquidus.py OUT.svg liquidus-*.dat          # each with its .dump beside it, plain or .gz

Needs: pip install numpy matplotlib.
"""

import gzip
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CELLS = 5  # of the crystal, along x and y
SLABS = 40
ORDER = 0.45  # of a slab that is crystal: its mean phase at (200) and (020)
STEP = 0.0025  # ps


def opened(name):
    return gzip.open(name, "rt") if str(name).endswith(".gz") else open(name)


def frames(name):
    """Types and scaled positions of each frame of a dump."""
    with opened(name) as lines:
        lines = iter(lines)
        for line in lines:
            if line.startswith("ITEM: NUMBER"):
                atoms = int(next(lines))
            if line.startswith("ITEM: ATOMS"):
                rows = np.array([next(lines).split() for _ in range(atoms)], dtype=float)
                yield rows[:, 0].astype(int), rows[:, 1:]


def melt(types, place):
    """Share of the atoms that are in the melt, and share of silicon among them."""
    slab = np.minimum((place[:, 2] % 1 * SLABS).astype(int), SLABS - 1)
    phase = np.exp(2j * np.pi * 2 * CELLS * place[:, :2])
    liquid = np.zeros(len(types), dtype=bool)
    for k in range(SLABS):
        here = slab == k
        if here.any() and np.abs(phase[here].mean(axis=0)).mean() < ORDER:
            liquid |= here
    return liquid.mean(), (types[liquid] == 2).mean() if liquid.any() else np.nan


def main():
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for name in sys.argv[2:]:
        step, temperature = np.loadtxt(name, usecols=(0, 1), unpack=True)
        grade = np.loadtxt(name, usecols=5).max()
        beside = name.replace(".dat", ".dump")
        states = np.array([melt(*frame) for frame in frames(beside)])
        late = temperature[len(temperature) // 2 :]
        drift = late[len(late) // 2 :].mean() - late[: len(late) // 2].mean()
        share, silicon = states[len(states) // 2 :].mean(axis=0)
        label = Path(name).name.split(".dat")[0]
        print(
            f"{label}: {late.mean():.0f} K (drift {drift:+.0f}), melt {100 * states[0, 0]:.0f} to {100 * states[-1, 0]:.0f} %, "
            f"silicon in it {100 * silicon:.1f} at.%, largest grade {grade:.2f}"
        )
        width = max(1, len(temperature) // 20)
        smooth = np.convolve(temperature, np.ones(width) / width, "valid")
        time = STEP * (step[: len(smooth)] - step[0] + (step[1] - step[0]) * width / 2)
        axes.plot(time, smooth, lw=1.2, label=f"{100 * silicon:.1f} at.% Si in the melt, from {label.split('-')[2]} K")
    axes.set_xlabel("time (ps)")
    axes.set_ylabel("temperature (K)")
    axes.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
