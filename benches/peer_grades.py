"""The same probes graded by nepal and by TorchNEP, with active sets of growing parts of a silicon data set.

    VENV/bin/python benches/peer_grades.py PROGRAM MODEL TRAIN.xyz TEST.xyz

PROGRAM is nepal-loop, MODEL a nep.txt of silicon that both read; VENV has torch, torchnep and numpy. Prints the
table that results/scale.md has. Frames are taken evenly over TRAIN, whose kinds come one after the other.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from torchnep.extrapolation import build_active_set, compute_gamma

COUNTS = [10, 20, 50, 100, 200, 214]
A = 5.43
DIAMOND = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4


def frame(lattice, positions):
    lines = [f"Si {x:.8f} {y:.8f} {z:.8f}" for x, y, z in positions]
    lattice = " ".join(f"{x:.8f}" for x in np.ravel(lattice))
    return f'{len(lines)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3 energy=0 pbc="T T T"\n' + "\n".join(lines) + "\n"


def crystal(strain):
    a = A * (1 + strain)
    return frame(2 * a * np.eye(3), [a * (s + [i, j, k]) for i in (0, 1) for j in (0, 1) for k in (0, 1) for s in DIAMOND])


PROBES = {
    "ideal crystal": crystal(0),
    "compressed 3 %": crystal(-0.03),
    "compressed 6 %": crystal(-0.06),
    "dimer 2.0 Å": frame(40 * np.eye(3), [[0, 0, 0], [2.0, 0, 0]]),
    "gas atom": frame(40 * np.eye(3), [[0, 0, 0]]),
}


def frames(path):
    lines, at, found = pathlib.Path(path).read_text().splitlines(), 0, []
    while at < len(lines) and lines[at].strip():
        n = int(lines[at]) + 2
        found.append("\n".join(lines[at:at + n]) + "\n")
        at += n
    return found


def nepal(program, model, folder, known, asked):
    """Largest grade of each frame, and of all its atoms; seconds to build."""
    run = lambda *words: subprocess.run([program, "--output-mode", "quiet", *words], check=True)
    start = time.time()
    run("active-set", "--model", model, "--structures", known, "--out", folder / "set.asi")
    seconds = time.time() - start
    run("predict", "--model", model, "--active-set", folder / "set.asi", "--structures", asked, "--out", folder / "out.xyz")
    grades = []
    for text in frames(folder / "out.xyz"):
        head, *rows = text.splitlines()[1:]
        names = head.split("Properties=")[1].split()[0].strip('"').split(":")
        column = 0
        for name, width in zip(names[0::3], names[2::3]):
            if name == "grade":
                break
            column += int(width)
        grades.append([float(row.split()[column]) for row in rows])
    return grades, seconds


def torchnep(_, model, folder, known, asked):
    start = time.time()
    known = build_active_set(str(model), str(known), str(folder / "set.pt"), device="cpu", verbose=False)
    seconds = time.time() - start
    found = compute_gamma(str(model), known, str(asked), per_atom=True, device="cpu", verbose=False)
    grades = np.maximum(found["gamma_atoms"], found["gamma_res_atoms"])
    return np.split(grades, np.cumsum(found["natoms"])[:-1]), seconds


def main():
    program, model, train, test = sys.argv[1:]
    train, test = frames(train), frames(test)
    table = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            places = np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(int)
            (folder / "known.xyz").write_text("".join(train[k] for k in places))
            (folder / "asked.xyz").write_text("".join(PROBES.values()) + "".join(test))
            for name, grade in ("nepal", nepal), ("TorchNEP", torchnep):
                grades, seconds = grade(program, model, folder, folder / "known.xyz", folder / "asked.xyz")
                ordinary = np.concatenate(grades[len(PROBES):])
                values = {probe: max(g) for probe, g in zip(PROBES, grades)}
                values["test frames, median"] = np.median(ordinary)
                values["test frames, 99.9 %"] = np.quantile(ordinary, 0.999)
                values["gas atom over the largest of the test frames"] = values["gas atom"] / ordinary.max()
                values["building, s"] = seconds
                for probe, value in values.items():
                    table.setdefault((probe, name), []).append(value)
    print("| probe (largest grade) | grade |", " | ".join(f"{c} frames" for c in COUNTS), "|")
    print("| --- | --- |" + " --- |" * len(COUNTS))
    for (probe, name), values in sorted(table.items(), key=lambda row: list(table).index((row[0][0], "nepal"))):
        print(f"| {probe} | {name} |", " | ".join(f"{v:.3g}" for v in values), "|")


main()
