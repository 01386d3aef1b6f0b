"""Molecular dynamics by ASE that watches the grade, keeps fragments, and stops in time.

    python examples/python/md.py examples/data

Silicon is heated far beyond the small crystal cells that the active set of the examples knows.
Every twenty steps all grades are computed; atoms above 2 are cut out as small periodic cells, ready
for a reference method; above 3 the run ends. (In production, 5 and 25 are usual.)
"""

import sys

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from nepal.ase import Extrapolates, Monitor, Nepal


def main(data, fragments=None):
    rng = np.random.default_rng(7)
    atoms = bulk("Si", "diamond", a=5.431, cubic=True) * (3, 3, 3)
    atoms.calc = Nepal(f"{data}/nep.txt", f"{data}/active_set.nas")
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    dynamics = Langevin(
        atoms, 1 * units.fs, temperature_K=300, friction=0.02 / units.fs, rng=rng, fixcm=False
    )
    monitor = Monitor(atoms, save=2.0, halt=3.0, path=fragments, optimise=False, max_fragments=1)
    dynamics.attach(monitor, interval=20)
    dynamics.attach(lambda: dynamics.set_temperature(temperature_K=300 + 10 * dynamics.nsteps))
    try:
        dynamics.run(1000)
    except Extrapolates as stop:
        print(f"stopped at step {dynamics.nsteps}: {stop}")
    kind = atoms.calc.active_set.kind
    for check, grade in monitor.history:
        print(f"step {20 * check}: largest grade {grade:.2f} ({kind})")
    print(f"fragments kept: {len(monitor.fragments)}")
    for fragment in monitor.fragments:
        print(f"  {len(fragment)} atoms, grade {fragment.grade:.2f}, {fragment.summary}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["examples/data"])
