#!/usr/bin/env python3
"""Pair distribution of 16 atoms of the melt: CP2K's dynamics beside the model's, in the same cell.

    python3 pairs.py OUT.svg result/cp2k-dynamics.xyz.gz model.dump

The grey band is what pieces of the model's run that are as long as CP2K's differ by.
Needs: pip install numpy matplotlib.
"""

import gzip
import itertools
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

EDGE, ATOMS = 8.8, 16
CP2K_STEP, MODEL_STEP = 0.006, 0.1  # ps between two frames
BINS = np.arange(2.0, 7.05, 0.1)


def frames(path, before):
    """Coordinates of all frames of a file with so many lines before each."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt") as file:
        lines = file.read().splitlines()
    whole = len(lines) // (before + ATOMS)
    rows = np.array(lines[: whole * (before + ATOMS)]).reshape(whole, -1)[:, before:]
    return np.array([[row.split()[1:4] for row in frame] for frame in rows], dtype=float)


def pairs(positions):
    """g(r) of each frame, all images counted: the cell is smaller than what is looked at."""
    images = EDGE * np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    shells = 4 * np.pi / 3 * (BINS[1:] ** 3 - BINS[:-1] ** 3) * ATOMS / EDGE**3
    found = []
    for x in positions:
        d = x[:, None, :] - x[None, :, :]
        d -= EDGE * np.round(d / EDGE)
        r = np.linalg.norm(d[:, :, None, :] + images, axis=-1).ravel()
        found.append(np.histogram(r[r > 0.1], BINS)[0] / ATOMS / shells)
    return np.array(found)


def main():
    reference = pairs(frames(sys.argv[2], 2))
    model = pairs(frames(sys.argv[3], 9))
    length = len(reference) * CP2K_STEP
    piece = round(length / MODEL_STEP)
    pieces = [model[k : k + piece].mean(axis=0) for k in range(0, len(model) - piece + 1, piece)]
    spread = np.std(pieces, axis=0)
    a, b = reference.mean(axis=0), model.mean(axis=0)
    there = b > 0.01
    print(f"CP2K {length:.1f} ps, model {len(model) * MODEL_STEP:.0f} ps")
    print(f"rms difference {np.sqrt(((a - b) ** 2).mean()):.3f}, of pieces as long {np.sqrt((spread**2).mean()):.3f}")
    print(f"in units of the spread {np.sqrt((((a - b)[there] / spread[there]) ** 2).mean()):.2f}")
    r = 0.5 * (BINS[1:] + BINS[:-1])
    figure, axes = plt.subplots(figsize=(5.6, 3.2))
    axes.fill_between(r, b - spread, b + spread, color="0.85")
    axes.plot(r, b, lw=1.2, label="model")
    axes.plot(r, a, "o", ms=3, label="CP2K")
    axes.set_xlabel("distance (Å)")
    axes.set_ylabel("g(r) of 16 atoms at 500 K")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
