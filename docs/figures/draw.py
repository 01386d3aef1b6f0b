"""Draws the pictures of the pages: python docs/figures/draw.py FOLDER CAMPAIGN, with nepal, ase and matplotlib, and nepal-loop on
the path. FOLDER has nep.txt, active_set.nas and posterior.json, made as the page "Start" says;
CAMPAIGN is its file. Truth is the Stillinger-Weber potential that the model was taught by."""

import pathlib
import subprocess
import sys
import tempfile

import ase.io
import ase.units
import matplotlib
import numpy as np
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from nepal.ase import Nepal

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
MODEL, CAMPAIGN = pathlib.Path(sys.argv[1]), str(pathlib.Path(sys.argv[2]).resolve())
KEEP, BREAK = 1.5, 4.0
plt.rcParams |= {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.bbox": "tight",
}


def calculator():
    return Nepal(MODEL / "nep.txt", MODEL / "active_set.nas", posterior=MODEL / "posterior.json")


def thresholds(axes, x, side):
    for level, text in ((1.0, "training data at most 1"), (KEEP, "keep above 1.5"), (BREAK, "turn back above 4")):
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
        axes.text(x, level, text, transform=axes.get_yaxis_transform(), ha=side, va="bottom", color="0.4", fontsize=7)
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.set_yticks([], minor=True)


def save(figure, name):
    figure.savefig(HERE / f"{name}.png", dpi=160, metadata={"Software": None})
    plt.close(figure)


def strain():
    """The grade of a crystal that is compressed and stretched."""
    strains = np.linspace(-0.14, 0.14, 57)
    grades = []
    for strain in strains:
        atoms = bulk("Si", cubic=True, a=5.431 * (1 + strain))
        atoms.calc = calculator()
        grades.append(atoms.calc.get_grades(atoms).max())
    figure, axes = plt.subplots(figsize=(5, 2.6))
    axes.semilogy(100 * strains, grades, color="C0")
    axes.set(xlabel="strain of each edge (%)", ylabel="grade Γ")
    thresholds(axes, 0.5, "center")
    save(figure, "strain")


def truth(frames):
    """Forces of the teacher, by the command that campaigns label with."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        ase.io.write(folder / "in.xyz", frames, columns=["symbols", "positions"], write_results=False)
        subprocess.run(
            ["nepal-loop", "label", "--config", CAMPAIGN, "--structures", "in.xyz", "--out", "out.xyz"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL,
        )
        return [frame.get_forces() for frame in ase.io.read(folder / "out.xyz", ":")]


def heating():
    """Grade, σ and true error while a crystal is heated until it melts."""
    atoms = bulk("Si", cubic=True, a=5.431) * (2, 2, 2)
    atoms.calc = calculator()
    rng = np.random.default_rng(3)
    thermalize_momenta(atoms, temperature_K=300, rng=rng)
    dynamics = Langevin(atoms, 1.0 * ase.units.fs, temperature_K=300, friction=0.01 / ase.units.fs, rng=rng, fixcm=False)
    frames, temperatures, grades, sigmas, forces = [], [], [], [], []
    for temperature in np.linspace(300, 4000, 150):
        dynamics.set_temperature(temperature_K=temperature)
        dynamics.run(40)
        frames.append(atoms.copy())
        temperatures.append(temperature)
        forces.append(atoms.get_forces())
        grades.append(atoms.calc.get_grades(atoms))
        sigmas.append(atoms.calc.get_property("sigma", atoms))
    errors = [np.linalg.norm(f - t, axis=1) for f, t in zip(forces, truth(frames))]
    figure, (top, middle) = plt.subplots(2, 1, figsize=(5, 4), sharex=True)
    top.semilogy(temperatures, [g.max() for g in grades], color="C0")
    top.set(ylabel="largest grade Γ")
    thresholds(top, 0.01, "left")
    rms = lambda values: [np.sqrt(np.mean(np.square(v))) for v in values]  # noqa: E731
    middle.semilogy(temperatures, rms(errors), color="C3", label="true error")
    middle.semilogy(temperatures, rms(sigmas), color="C1", label="σ")
    middle.set(xlabel="temperature (K)", ylabel="of forces (eV/Å)")
    middle.legend(frameon=False)
    save(figure, "heating")
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.6), sharey=True)
    errors, grades, sigmas = map(np.concatenate, (errors, grades, sigmas))
    for axes, values, text in ((left, grades, "grade Γ"), (right, sigmas, "σ (eV/Å)")):
        axes.hexbin(values, errors, xscale="log", yscale="log", gridsize=40, bins="log", cmap="viridis", linewidths=0.1)
        axes.set(xlabel=text)
    left.set(ylabel="true force error (eV/Å)")
    ends = np.array([max(sigmas.min(), errors.min()), sigmas.max()])
    right.plot(ends, ends, color="C3", linewidth=0.8)
    save(figure, "ranking")


if __name__ == "__main__":
    strain()
    heating()
