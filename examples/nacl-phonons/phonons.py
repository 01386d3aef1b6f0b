"""Phonons of rock salt with and without what Born charges add at long waves.

    python phonons.py OUT.svg CHARGED_MODEL [PLAIN_MODEL]

The charges of a model with `charge_mode` are those of a Coulomb law without a dielectric constant, Z*/sqrt(eps_inf), so that they go into
phonopy's non-analytic correction with a dielectric tensor of one. Frequencies in THz are printed; with `tblite` as a model name the same is
done by GFN1-xTB itself, without a correction.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.optimize import BFGS
from ase.filters import FrechetCellFilter
from phonopy import Phonopy
from phonopy.phonon.band_structure import get_band_qpoints_and_path_connections
from phonopy.structure.atoms import PhonopyAtoms

#: eV Å: e²/(4 π ε0).
COULOMB = 14.399645
#: TO and LO of NaCl at 300 K, THz: Raunio, Almqvist & Stedman, Phys. Rev. 178, 1496 (1969), and infrared reflectivity.
MEASURED = {"TO": 4.9, "LO": 7.9}
PATH = [[[0.5, 0.5, 1.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]]
#: A wave that fits into the supercell, along a cube's edge.
SHORTEST = {2: [0.25, 0.25, 0.5], 3: [1 / 6, 1 / 6, 1 / 3]}


def calculator(name):
    if name == "tblite":
        from tblite.ase import TBLite

        return TBLite(method="GFN1-xTB", verbosity=0)
    from nepal.ase import Nepal

    return Nepal(name)


def phonons(name, size):
    cell = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    cell.calc = calculator(name)
    BFGS(FrechetCellFilter(cell, hydrostatic_strain=True), logfile=None).run(fmax=1e-3, steps=100)
    unit = PhonopyAtoms(cell.get_chemical_symbols(), cell=cell.cell[:], scaled_positions=cell.get_scaled_positions())
    half = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    phonon = Phonopy(unit, np.diag([size] * 3), primitive_matrix=half)
    phonon.generate_displacements(distance=0.01)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(size)
        atoms.set_chemical_symbols(displaced.symbols)
        atoms.set_cell(displaced.cell)
        atoms.set_scaled_positions(displaced.scaled_positions)
        atoms.calc = calculator(name)
        forces.append(atoms.get_forces())
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return cell, phonon


def correction(cell, phonon):
    born = np.reshape(cell.calc.get_born_effective_charges(cell), (-1, 3, 3))
    symbols = cell.get_chemical_symbols()
    own = [np.eye(3) * np.mean([np.trace(born[i]) / 3 for i, s in enumerate(symbols) if s == x]) for x in phonon.primitive.symbols]
    phonon.nac_params = {"born": np.array(own), "dielectric": np.eye(3), "factor": COULOMB}
    return own[0][0, 0]


def edge(phonon):
    """TO, and LO along a cube's edge near the centre of the zone."""
    direction = [0.0, 1e-4, 1e-4] if phonon.nac_params else [0.0, 0.0, 0.0]
    values = np.sort(phonon.get_frequencies(direction))[3:]
    return values[0], values[-1]


def main(out, charged, plain=None):
    figure, axes = plt.subplots(figsize=(5, 4))
    runs = [(charged, "C0", "-", "with charges")]
    runs += [(plain, "C1", "--", "without charges")] if plain else []
    for name, color, style, label in runs:
        size = 2 if name == "tblite" else 3
        cell, phonon = phonons(name, size)
        print(f"{name}: a = {cell.cell[0, 0]:.4f} A")
        wave = np.sort(phonon.get_frequencies(SHORTEST[size]))
        print(f"  at the longest wave of the supercell, uncorrected: LO {wave[-1]:.3f} THz")
        if color == "C0" and name != "tblite":
            print(f"  TO {edge(phonon)[0]:.3f} THz without the correction")
            print(f"  Z*/sqrt(eps) of Na {correction(cell, phonon):.4f}")
            print(f"  at the same wave, corrected: LO {np.sort(phonon.get_frequencies(SHORTEST[size]))[-1]:.3f} THz")
        print("  at the centre: TO {:.3f}, LO {:.3f} THz".format(*edge(phonon)))
        points, connections = get_band_qpoints_and_path_connections(PATH, npoints=61)
        phonon.run_band_structure(points, path_connections=connections)
        bands = phonon.get_band_structure_dict()
        for k, (x, y) in enumerate(zip(bands["distances"], bands["frequencies"])):
            lines = axes.plot(x, y, color=color, linestyle=style, linewidth=1.2)
            lines[0].set_label(label if k == 0 else None)
        ends = [bands["distances"][0][0], bands["distances"][0][-1], bands["distances"][-1][-1]]
    for name, value in MEASURED.items():
        axes.plot(ends[1], value, "ko", markersize=4, label="measured" if name == "TO" else None)
    axes.set_xticks(ends, ["X", "Γ", "L"])
    axes.axvline(ends[1], color="grey", linewidth=0.5)
    axes.set_xlim(ends[0], ends[-1])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("frequency, THz")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
