#!/usr/bin/env python3
"""nepal, in both precisions, and the CPU engines of calorine and nep-adapters on the same atoms, in one process,
in turn.

Prints CPU time per atom of all and their ratios; fails unless energies and forces agree with the
results of a third program stored with the structures. See README.md beside this file.
"""

import argparse
import ctypes
import gzip
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = {"calorine": "calorine==4.1", "nep_adapters": "nep-adapters==1.0.3"}
SYSTEMS = {
    "c_diamond_4096": "c_2024_nep4",
    "pbte_8000": "pbte_nep_train",
    "unep_alloy_4000": "unep_v1_16_metals",
    "si_diamond_4096": "si_2022_nep4_5body",
}
# NEPAL_PRECISION_...
PRECISIONS = {"f64": 0, "mixed": 1}
# eV per atom and eV/Å; the stored results have nine decimals.
TOLERANCES = {"calorine": (1e-8, 1e-7), "adapters": (1e-8, 1e-7), "f64": (1e-8, 1e-7), "mixed": (1e-6, 2e-5)}
# calorine's share of the speed of the same engine inside LAMMPS, where it was measured beside it: 80
# to 86 %.
SHARE_OF_LAMMPS = 0.83


def ensure_environment():
    """Runs this script again in a virtual environment that has the peers; a peer that is not to be had is left
    out, with a word."""
    missing = [name for name in PEERS if not importlib.util.find_spec(name)]
    folder = HERE / ".venv"
    python = folder / "bin" / "python"
    if not missing or Path(sys.prefix).resolve() == folder.resolve():
        for name in missing:
            print(f"{name} is not compared: 'pip install {PEERS[name]}' into {folder} failed", file=sys.stderr)
        if "calorine" in missing:
            sys.exit("the ratios are those to calorine")
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    for name, package in PEERS.items():
        if subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode:
            subprocess.run([python, "-m", "pip", "install", "--quiet", package])
    os.execv(python, [str(python), *sys.argv])


def unpacked(path):
    """The text of a file or of its compressed twin."""
    if path.exists():
        return path.read_text()
    return gzip.open(f"{path}.gz", "rt").read()


class Structure:
    """One frame of extended XYZ with energy and forces."""

    def __init__(self, text):
        lines = text.splitlines()
        self.n = int(lines[0])
        fields = dict(re.findall(r'(\w+)="([^"]*)"', lines[1]))
        fields.update(re.findall(r'(\w+)=([^"\s]+)', lines[1]))
        if not fields["Properties"].startswith("species:S:1:pos:R:3:forces:R:3"):
            sys.exit(f"unexpected columns: {fields['Properties']}")
        self.cell = [float(x) for x in fields["Lattice"].split()]
        self.energy = float(fields["energy"])
        rows = [line.split() for line in lines[2 : 2 + self.n]]
        self.symbols = [row[0] for row in rows]
        self.positions = [[float(x) for x in row[1:4]] for row in rows]
        self.forces = [[float(x) for x in row[4:7]] for row in rows]


class Calorine:
    """calorine, through its compiled module and without the ASE layer above it."""

    name = "calorine"

    def __init__(self, model, structure):
        import numpy
        from ase import Atoms
        from calorine.calculators import CPUNEP

        self.numpy = numpy
        atoms = Atoms(
            structure.symbols,
            positions=structure.positions,
            cell=numpy.array(structure.cell).reshape(3, 3),
            pbc=True,
        )
        # The calculator sets up the compiled object; afterwards only that is called.
        self.calculator = CPUNEP(str(model), atoms=atoms)
        self.calculator.atoms = atoms
        self.calculator._sync_nepy()
        self.n = structure.n

    def __call__(self):
        self.results = self.calculator.nepy.get_potential_forces_and_virials()

    def energy_and_forces(self):
        energies, forces, _ = self.results
        return sum(energies), self.numpy.array(forces).reshape(3, self.n).T.ravel()


class Adapters:
    """nep-adapters, through its compiled module and without the Python above it."""

    name = "adapters"

    def __init__(self, model, structure):
        import numpy
        from nep_adapters import NEPCalculator

        calculator = NEPCalculator(str(model), backend="cpu")
        self.model = calculator.model
        self.arguments = (
            numpy.array([calculator.type_dict[symbol] for symbol in structure.symbols], dtype=numpy.int32),
            # Lattice vectors are its columns.
            numpy.ascontiguousarray(numpy.array(structure.cell).reshape(3, 3).T.ravel()),
            numpy.array(structure.positions),
            numpy.array([structure.n], dtype=numpy.int32),
            numpy.ones(3, dtype=numpy.int32),
        )

    def __call__(self):
        self.results = self.model.calculate(*self.arguments)

    def energy_and_forces(self):
        import numpy

        energies, forces, _ = self.results
        return numpy.sum(energies), numpy.asarray(forces).ravel()


class OptionsArgument(ctypes.Structure):
    """nepal_calculator_options_t."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("backend", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("device", ctypes.c_uint32),
        ("precision", ctypes.c_uint32),
    ]


class StructureArgument(ctypes.Structure):
    """nepal_structure_t."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("n_atoms", ctypes.c_size_t),
        ("positions", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("atomic_numbers", ctypes.c_void_p),
        ("cell", ctypes.c_void_p),
        ("periodic", ctypes.c_int32 * 3),
        ("reserved", ctypes.c_uint32),
        ("tags", ctypes.c_void_p),
        ("step", ctypes.c_int64),
    ]


class ResultsArgument(ctypes.Structure):
    """nepal_results_t, as far as it is used."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("energy", ctypes.c_void_p),
        ("energies", ctypes.c_void_p),
        ("forces", ctypes.c_void_p),
        ("virial", ctypes.c_void_p),
        ("virials", ctypes.c_void_p),
    ]


class Nepal:
    """nepal, through its C ABI."""

    def __init__(self, library, model, structure, precision, per_atom_virials, rebuild=False):
        import numpy

        self.rebuild, self.jump = rebuild, structure.cell[0]
        self.name = precision

        self.library = library
        handle = ctypes.c_void_p()
        self.check(library.nepal_model_load(os.fsencode(model), ctypes.byref(handle)))
        self.calculator = ctypes.c_void_p()
        new = library.nepal_calculator_new
        options = OptionsArgument(
            struct_size=ctypes.sizeof(OptionsArgument), precision=PRECISIONS[precision]
        )
        self.check(new(handle, ctypes.byref(options), ctypes.byref(self.calculator)))
        types = []
        for symbol in structure.symbols:
            found = ctypes.c_int32()
            self.check(library.nepal_model_type(handle, symbol.encode(), ctypes.byref(found)))
            types.append(found.value)
        n = structure.n
        self.arrays = {
            "positions": numpy.array(structure.positions),
            "types": numpy.array(types, dtype=numpy.int32),
            "cell": numpy.array(structure.cell),
            "energies": numpy.zeros(n),
            "forces": numpy.zeros((n, 3)),
            "virial": numpy.zeros(9),
            "virials": numpy.zeros((n, 9)),
        }
        places = {key: array.ctypes.data for key, array in self.arrays.items()}
        self.structure = StructureArgument(
            struct_size=ctypes.sizeof(StructureArgument),
            n_atoms=n,
            periodic=(1, 1, 1),
            **{key: places[key] for key in ("positions", "types", "cell")},
        )
        wanted = ["energies", "forces", "virials" if per_atom_virials else "virial"]
        self.results = ResultsArgument(
            struct_size=ctypes.sizeof(ResultsArgument),
            **{key: places[key] for key in wanted},
        )

    def check(self, status):
        if status:
            needed = ctypes.c_size_t()
            text = ctypes.create_string_buffer(4096)
            self.library.nepal_last_error(text, 4096, ctypes.byref(needed))
            sys.exit(f"nepal: {text.value.decode()}")

    def __call__(self):
        if self.rebuild:
            # An atom in another cell is the same atom, but no list with a skin survives the jump.
            self.arrays["positions"][0, 0] += self.jump
            self.jump = -self.jump
        compute = self.library.nepal_calculator_compute
        arguments = (ctypes.byref(self.structure), ctypes.byref(self.results))
        self.check(compute(self.calculator, *arguments))

    def energy_and_forces(self):
        return self.arrays["energies"].sum(), self.arrays["forces"].ravel()


def measure(programs, repeats):
    """Medians of CPU and wall time of one call, taking turns; the first round does not count."""
    times = {program.name: ([], []) for program in programs}
    for repeat in range(repeats + 1):
        for program in programs:
            cpu, wall = time.process_time(), time.perf_counter()
            program()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if repeat:
                times[program.name][0].append(cpu)
                times[program.name][1].append(wall)
    return {name: [statistics.median(list_) for list_ in pair] for name, pair in times.items()}


def agreement(program, structure):
    """Deviations from the stored results, eV per atom and eV/Å."""
    import numpy

    energy, forces = program.energy_and_forces()
    expected = numpy.array(structure.forces).ravel()
    return abs(energy - structure.energy) / structure.n, numpy.abs(forces - expected).max()


def library_path(given):
    if given:
        return given
    command = ["cargo", "build", "--release", "--lib", "--no-default-features", "--features", "cpu"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / ("libnepal.dylib" if sys.platform == "darwin" else "libnepal.so")


def compare(name, library, options):
    """Measures one system and prints its lines; returns whether all agree."""
    structure = Structure(unpacked(HERE / "data" / f"{name}.xyz"))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(unpacked(ROOT / "tests" / "data" / SYSTEMS[name] / "nep.txt"))
        file.flush()
        programs = [Calorine(file.name, structure)]
        if importlib.util.find_spec("nep_adapters"):
            try:
                programs.append(Adapters(file.name, structure))
            except Exception as error:
                print(f"{name:<16} adapters  does not take the model: {error}")
        for precision in PRECISIONS:
            ours = Nepal(library, file.name, structure, precision, options.virials, options.rebuild)
            programs.append(ours)
        times = measure(programs, options.repeats)
    peer, peer_wall = times["calorine"]
    fine = True
    for program in programs:
        cpu, wall = times[program.name]
        worst = agreement(program, structure)
        good = all(found <= limit for found, limit in zip(worst, TOLERANCES[program.name]))
        fine &= good
        print(
            f"{name:<16} {program.name:<9} {cpu / structure.n * 1e6:>9.3f} µs"
            f" {structure.n / wall:>11,.0f}/s {peer / cpu:>7.2f} {peer_wall / wall:>7.2f}"
            f" {peer_wall / wall * SHARE_OF_LAMMPS:>7.2f}   {worst[0]:.1e} eV, {worst[1]:.1e} eV/Å"
            f"{'' if good else '   WRONG'}",
            flush=True,
        )
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each program")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="threads of all programs")
    parser.add_argument("--rebuild", action="store_true", help="a new neighbour list in each call of nepal")
    parser.add_argument("--virials", action="store_true", help="per-atom virials, not the total")
    parser.add_argument("--library", help="libnepal to use; default: build it")
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS), help="systems of data/")
    options = parser.parse_args()
    ensure_environment()
    library = library_path(options.library)
    if len(options.threads) > 1:
        # The run-time libraries fix their number of threads when they are loaded.
        failed = False
        for threads in options.threads:
            command = [sys.executable, __file__, *options.systems, "--threads", str(threads)]
            command += ["--repeats", str(options.repeats), "--library", str(library)]
            command += ["--virials"] * options.virials + ["--rebuild"] * options.rebuild
            failed |= subprocess.run(command).returncode != 0
        sys.exit(failed)
    (threads,) = options.threads
    os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(threads)
    library = ctypes.CDLL(str(library))
    print(f"{threads} thread(s), median of {options.repeats} calls; ratios of CPU time, wall time, and to LAMMPS")
    print(f"{'system':<16} {'':<9} {'CPU per atom':>12} {'atoms':>13} {'CPU':>7} {'wall':>7} {'LAMMPS':>7}   worst ΔE/atom, ΔF")
    fine = True
    for name in options.systems:
        fine &= compare(name, library, options)
    if not fine:
        sys.exit("the programs do not agree with the stored results")


if __name__ == "__main__":
    main()
