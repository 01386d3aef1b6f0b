#!/usr/bin/env python3
"""LAMMPS with nepal: mixed precision beside double, two ranks beside one, and what grades, deviations and biases add.

Prints CPU time of a step of all ranks, the least of --repeats runs that take turns, without what starting costs, and
ratios. Needs `lmp` on the PATH and the plugin of bindings/lammps/build.sh. See README.md beside this file.
"""

import argparse
import gzip
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Model, elements in the order of types, and steps of a timed run.
SYSTEMS = {
    "c_diamond_4096": ("c_2024_nep4", 60),
    "pbte_8000": ("pbte_nep_train", 100),
    "unep_alloy_4000": ("unep_v1_16_metals", 80),
    "si_diamond_4096": ("si_2022_nep4_5body", 120),
}
MASSES = {  # u
    "Ag": 107.868, "Al": 26.982, "Au": 196.967, "C": 12.011, "Cr": 51.996, "Cu": 63.546, "Mg": 24.305, "Mo": 95.95, "Ni": 58.693,
    "Pb": 207.2, "Pd": 106.42, "Pt": 195.084, "Si": 28.085, "Ta": 180.948, "Te": 127.60, "Ti": 47.867, "V": 50.942, "W": 183.84, "Zr": 91.224,
}  # fmt: skip
# Of silicon, with the active set and the posterior of examples/data.
WAYS = {
    "plain": "",
    "grade 1": "fix w all pair 1 nepal grade 1\n",
    "sigma 1": "fix w all pair 1 nepal sigma 1\n",
    "bias sigma": "fix w all nepal/bias sigma 3.0\n",
    "bias push": "fix w all nepal/bias push 2.0 3.0\n",
    "bias wall": "fix w all nepal/bias wall 0.7 2.0 exponent 6\n",
}


def data_file(system, path):
    """Writes the structure as LAMMPS data; returns its elements in the order of types."""
    with gzip.open(ROOT / "benches" / "data" / f"{system}.xyz.gz", "rt") as f:
        lines = f.read().splitlines()
    cell = [float(x) for x in re.search(r'Lattice="([^"]*)"', lines[1])[1].split()]
    rows = [line.split() for line in lines[2 : 2 + int(lines[0])]]
    elements = sorted({row[0] for row in rows})
    with open(path, "w") as f:
        f.write(f"{system}\n\n{len(rows)} atoms\n{len(elements)} atom types\n\n")
        for name, length in zip("xyz", cell[::4]):
            f.write(f"0 {length} {name}lo {name}hi\n")
        f.write("\nMasses\n\n")
        f.writelines(f"{k} {MASSES[e]}\n" for k, e in enumerate(elements, 1))
        f.write("\nAtoms # atomic\n\n")
        f.writelines(f"{i} {elements.index(r[0]) + 1} {r[1]} {r[2]} {r[3]}\n" for i, r in enumerate(rows, 1))
    return elements


def script(folder, arguments, system, precision, way=""):
    model = folder / f"{system}.txt"
    packed = ROOT / "tests" / "data" / SYSTEMS[system][0] / "nep.txt"
    model.write_bytes(packed.read_bytes() if packed.is_file() else gzip.decompress(Path(f"{packed}.gz").read_bytes()))
    options, given = f"precision {precision}", ""
    if way:
        data = ROOT / "examples" / "data"
        model, given, options = data / "nep.txt", data / "active_set.nas", f"{options} posterior {data / 'posterior.json'}"
    data = folder / f"{system}.data"
    elements = data_file(system, data)
    text = f"""units metal
plugin load {arguments.plugin}
atom_modify map array
read_data {data}
pair_style nepal {options}
pair_coeff * * {model} {given} {" ".join(elements)}
timestep 0.001
velocity all create 300 7
fix move all nve
thermo 1000000
variable steps index 0
{WAYS[way] if way else ""}run ${{steps}}
"""
    path = folder / f"in.{len(list(folder.iterdir()))}"
    path.write_text(text)
    return path


def seconds(arguments, path, steps, ranks=1):
    """CPU and wall time of one run, in seconds."""
    launch = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [*launch, arguments.lmp, "-in", path, "-log", "none", "-var", "steps", str(steps)]
    done = subprocess.run([str(c) for c in command], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path} failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - clock


def measured(arguments, runs):
    """Least CPU and wall time of a step of each of the runs, (script, steps, ranks) by name."""
    best = {name: [[], []] for name in runs}
    for _ in range(arguments.repeats):
        for name, (path, steps, ranks) in runs.items():
            start, run = seconds(arguments, path, 1, ranks), seconds(arguments, path, steps + 1, ranks)
            for kind in (0, 1):
                best[name][kind].append((run[kind] - start[kind]) / steps)
    return {name: [min(times) for times in kinds] for name, kinds in best.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", help="systems of data/, or 'ways'; default: all")
    parser.add_argument("--plugin", type=Path, default=ROOT / "target" / "nepalplugin.so")
    parser.add_argument("--lmp", default="lmp")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--ranks", action="store_true", help="two ranks beside one (needs an idle machine)")
    arguments = parser.parse_args()
    arguments.plugin = arguments.plugin.resolve()
    if not arguments.plugin.is_file():
        sys.exit(f"{arguments.plugin} is not there: build it with bindings/lammps/build.sh")
    wanted = arguments.systems or [*SYSTEMS, "ways"]
    if unknown := [name for name in wanted if name not in {*SYSTEMS, "ways"}]:
        sys.exit(f"{unknown[0]} is no system: {', '.join([*SYSTEMS, 'ways'])}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print(f"CPU time of a step, ms, least of {arguments.repeats}; ratios")
        for system in (s for s in wanted if s in SYSTEMS):
            steps = SYSTEMS[system][1]
            runs = {p: (script(folder, arguments, system, p), steps, 1) for p in ("f64", "mixed")}
            if arguments.ranks:
                runs |= {f"{p}, two ranks": (runs[p][0], steps, 2) for p in ("f64", "mixed")}
            times = measured(arguments, runs)
            print(f"{system:16} f64 {1e3 * times['f64'][0]:8.3f}  mixed {1e3 * times['mixed'][0]:8.3f}  f64/mixed {times['f64'][0] / times['mixed'][0]:.2f}")
            for name in runs:
                if "ranks" in name:
                    print(f"{'':16} {name}: {times[name.split(',')[0]][1] / times[name][1]:.2f} times one, by the clock")
        if "ways" in wanted:
            for precision in ("f64", "mixed"):
                runs = {w: (script(folder, arguments, "si_diamond_4096", precision, w), 60, 1) for w in WAYS}
                times = measured(arguments, runs)
                for way in WAYS:
                    print(f"silicon, {precision:5} {way:12} {1e3 * times[way][0]:8.3f}  {times[way][0] / times['plain'][0]:5.2f} plain steps")


if __name__ == "__main__":
    main()
