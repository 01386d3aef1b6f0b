"""Dipoles of water along its dynamics.

    python dynamics.py POTENTIAL START OUT.npz PICOSECONDS SEED DIPOLE_MODEL...

POTENTIAL is a model with charges, DIPOLE_MODELs give dipoles. 4 ps with a bath of 300 K, then PICOSECONDS without a bath; every
2 fs the rate of the polarisation from the potential's own Born charges and the dipole of each model are kept; every 10th frame goes
to OUT.xyz with the dipole of the first.
"""

import sys

import ase.io
import numpy as np
from ase import units
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from nepal.ase import Nepal

STEP, EVERY, KEEP = 0.5, 4, 10


def main(potential, start, out, picoseconds, seed, *dipole_models):
    rng = np.random.default_rng(int(seed))
    atoms = ase.io.read(start)
    atoms.calc = Nepal(potential)
    models = [Nepal(name) for name in dipole_models]
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    warm = Bussi(atoms, STEP * units.fs, temperature_K=300, taut=50 * units.fs, rng=rng)
    warm.run(8000)
    current, dipoles, temperature, frames = [], [], [], []

    def keep():
        born = atoms.calc.get_born_effective_charges(atoms)
        velocity = atoms.get_velocities() * units.fs
        # Z_ab: the rate of polarisation a by a displacement b.
        current.append(np.einsum("iab,ib->a", np.reshape(born, (-1, 3, 3)), velocity))
        dipoles.append([model.get_dipole_moment(atoms) for model in models])
        temperature.append(atoms.get_temperature())
        if len(current) % KEEP == 0 and models:
            frame = atoms.copy()
            frame.info["dipole"] = dipoles[-1][0]
            frames.append(frame)

    dynamics = VelocityVerlet(atoms, STEP * units.fs)
    dynamics.attach(keep, interval=EVERY)
    dynamics.run(int(float(picoseconds) * 1000 / STEP))
    np.savez_compressed(out, current=current, dipoles=dipoles, temperature=temperature, fs=STEP * EVERY)
    if frames:
        ase.io.write(out.replace(".npz", ".xyz"), frames)
    print(f"{len(current)} samples, {np.mean(temperature):.0f} K")


if __name__ == "__main__":
    main(*sys.argv[1:])
