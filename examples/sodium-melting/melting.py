#!/usr/bin/env python3
"""Temperatures of the runs of in.melting, their means after the first third, and a plot.

    python3 melting.py OUT.svg melting-32-*.dat

Needs: pip install numpy matplotlib.
"""

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLOCK = 50  # rows of a block, 10 ps: longer than what correlates


def main():
    figure, axes = plt.subplots(figsize=(5.6, 3.2))
    means = []
    for name in sys.argv[2:]:
        step, temperature = np.loadtxt(name, usecols=(0, 1), unpack=True)
        time = 0.002 * (step - step[0])
        late = temperature[len(temperature) // 3 :]
        blocks = late[: len(late) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
        means.append(blocks.mean())
        print(f"{name}: {blocks.mean():.1f} ± {blocks.std(ddof=1) / np.sqrt(len(blocks)):.1f} K")
        smooth = np.convolve(temperature, np.ones(BLOCK) / BLOCK, "valid")
        axes.plot(time[: len(smooth)] + 0.5 * BLOCK * 0.2, smooth, lw=1.2, label=name.rsplit("/", 1)[-1].removesuffix(".gz").removesuffix(".dat"))
    means = np.array(means)
    error = means.std(ddof=1) / np.sqrt(len(means))
    print(f"melting point: {means.mean():.1f} ± {error:.1f} K from {len(means)} seeds")
    axes.axhline(means.mean(), color="0.5", lw=0.8)
    axes.set_xlabel("time (ps)")
    axes.set_ylabel("temperature, mean of 10 ps (K)")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
