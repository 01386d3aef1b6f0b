#!/usr/bin/env python3
"""Lattice and octahedral tilts along a run of in.transition.

    python3 transition.py tilts REPEAT thermo.dat atoms.dump OUT.dat     # one line for each window of 40 frames
    python3 transition.py figure OUT.svg TILTS.dat ...

A tilt is the rotation of the six bonds of a PbI6 octahedron, in degrees about the pseudo-cubic axes. Its mean with
alternating signs is the order parameter: R where neighbours along the axis turn against each other (Glazer's -), M where
they turn the same way (+). Needs: pip install numpy matplotlib.
"""

import sys

import numpy as np

WINDOW = 20  # frames, of which positions and boxes are averaged before tilts are taken
ORDERED = 3.0  # degrees


def frames(name):
    """Box (rows) and scaled positions by atom, of each frame of a LAMMPS dump."""
    with open(name) as file:
        while file.readline():
            file.readline(), file.readline()
            n = int(file.readline())
            file.readline()
            (xl, xh, xy), (yl, yh, xz), (zl, zh, yz) = (map(float, file.readline().split()) for _ in range(3))
            xl, xh = xl - min(0, xy, xz, xy + xz), xh - max(0, xy, xz, xy + xz)
            yl, yh = yl - min(0, yz), yh - max(0, yz)
            file.readline()
            rows = np.array([file.readline().split() for _ in range(n)], dtype=float)
            box = np.array([[xh - xl, 0, 0], [xy, yh - yl, 0], [xz, yz, zh - zl]])
            yield box, rows[:, 1].astype(int), (rows[:, 2:] - [xl, yl, zl]) @ np.linalg.inv(box)


def topology(cells, types, scaled):
    """Of each lead atom its place in the lattice, and of its six directions the iodine atom there."""
    lead, iodine = np.flatnonzero(types == 2), np.flatnonzero(types == 3)
    places = np.rint((scaled[lead] - scaled[lead[0]]) * cells).astype(int) % cells
    assert len(np.unique(places, axis=0)) == cells**3, "lead is not where a perovskite has it"
    bonds = np.empty((len(lead), 3, 2), dtype=int)
    for k, atom in enumerate(lead):
        d = scaled[iodine] - scaled[atom]
        d = (d - np.rint(d)) * cells
        for axis in range(3):
            for side, sign in enumerate((1, -1)):
                bonds[k, axis, side] = iodine[np.argmin(np.linalg.norm(d - 0.5 * sign * np.eye(3)[axis], axis=1))]
    return lead, places, bonds


def tilts(box, scaled, lead, bonds, cells):
    """Rotation of each octahedron about the pseudo-cubic axes, degrees."""
    d = scaled[bonds] - scaled[lead][:, None, None]
    d -= np.rint(d)
    # The axes of an orthogonal frame that is as near to the box's edges as can be.
    u, _, v = np.linalg.svd(box)
    d = d @ box @ (u @ v).T
    turned = np.zeros((len(lead), 3))
    for axis in range(3):
        for side, sign in enumerate((1, -1)):
            e = sign * np.eye(3)[axis]
            b = d[:, axis, side]
            turned += np.cross(e, b / np.linalg.norm(b, axis=1)[:, None]) / 4
    return np.degrees(turned)


def measure(repeat, thermo, dump, out):
    cells = 2 * int(repeat)
    target = np.loadtxt(thermo, usecols=(0, 1))
    known, held = None, []
    with open(out, "w") as file:
        file.write("# T (K), edges and angles of the pseudo-cubic cell (Å, degrees), R and M about x, y, z (degrees), as in transition.py\n")
        for number, (box, types, scaled) in enumerate(frames(dump)):
            known = known or topology(cells, types, scaled)
            lead, places, bonds = known
            if held:  # across the boundary with the frame before
                scaled = scaled - np.rint(scaled - held[-1][1])
            held.append((box, scaled))
            if len(held) < WINDOW:
                continue
            box, scaled = (np.mean([h[i] for h in held], axis=0) for i in (0, 1))
            held = []
            w = tilts(box, scaled, lead, bonds, cells)
            a = box / cells
            length = np.linalg.norm(a, axis=1)
            angle = [np.degrees(np.arccos(a[i] @ a[j] / length[i] / length[j])) for i, j in ((1, 2), (0, 2), (0, 1))]
            all_three = (-1.0) ** places.sum(axis=1)
            r = [abs((w[:, k] * all_three).mean()) for k in range(3)]
            m = [abs((w[:, k] * all_three * (-1.0) ** places[:, k]).mean()) for k in range(3)]
            step = 200 * (number - WINDOW / 2)
            temperature = np.interp(step, target[:, 0], target[:, 1])
            file.write(" ".join(f"{x:.4f}" for x in (temperature, *length, *angle, *r, *m)) + "\n")


def order(table):
    """In-phase tilt about the one axis that has it, out-of-phase about the other two, by window."""
    r, m = table[:, 7:10], table[:, 10:13]
    return m.max(axis=1), np.sqrt((np.sort(r, axis=1)[:, 1:] ** 2).mean(axis=1))


def crossings(temperature, values):
    """Temperature beyond which an order parameter is no longer above ORDERED."""
    above = temperature[values > ORDERED]
    return above.max() if len(above) else np.nan


def figure(out, names):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    picture, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4))
    for number, name in enumerate(names):
        table = np.loadtxt(name)
        turn = table[:, 0].argmax()
        for part, marker, fill, what in ((slice(0, turn + 1), "o", "full", "warming"), (slice(turn + 1, None), "s", "none", "cooling")):
            t = table[part]
            m, r = order(t)
            print(f"{name} {what}: M gone at {crossings(t[:, 0], m):.0f} K, R at {crossings(t[:, 0], r):.0f} K")
            style = dict(ls="none", marker=marker, ms=3, fillstyle=fill, mew=0.7)
            for k, colour in enumerate(("C0", "C1", "C2")):
                left.plot(t[:, 0], np.sort(t[:, 1:4], axis=1)[:, k], color=colour, **style)
            right.plot(t[:, 0], m, color="C3", label=f"in phase (+), {what}" if number == 0 else None, **style)
            right.plot(t[:, 0], r, color="C0", label=f"against (-), {what}" if number == 0 else None, **style)
    left.set_ylabel("edges of the pseudo-cubic cell (Å)")
    right.set_ylabel("tilt, order parameter (degrees)")
    right.legend(frameon=False, fontsize=7)
    for axes in (left, right):
        axes.set_xlabel("temperature (K)")
    picture.tight_layout()
    picture.savefig(out)


if __name__ == "__main__":
    if sys.argv[1] == "tilts":
        measure(*sys.argv[2:6])
    else:
        figure(sys.argv[2], sys.argv[3:])
