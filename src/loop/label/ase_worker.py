"""Labels one extended XYZ frame with an ASE calculator: energy, forces, and the virial of a periodic cell.

usage: worker versions CALCULATOR
       worker label CALCULATOR ARGUMENTS INPUT OUTPUT
CALCULATOR is module:Class, ARGUMENTS a JSON object of keyword arguments.
"""
import importlib
import json
import sys
import traceback


def calculator_class(name):
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def versions(name):
    import importlib.metadata as metadata

    calculator_class(name)
    told = []
    for package in ["ase", name.split(":")[0].split(".")[0]]:
        try:
            told.append(package + " " + metadata.version(package))
        except metadata.PackageNotFoundError:
            pass
    print("; ".join(sorted(set(told))))


def label(name, arguments, source, target):
    from ase.calculators.calculator import PropertyNotImplementedError
    from ase.io import read

    atoms = read(source, format="extxyz")
    atoms.calc = calculator_class(name)(**json.loads(arguments))
    try:
        # The free energy is what the forces belong to.
        energy = atoms.get_potential_energy(force_consistent=True)
    except (PropertyNotImplementedError, TypeError):
        energy = atoms.get_potential_energy()
    forces = atoms.get_forces()
    words = ["Properties=species:S:1:pos:R:3:forces:R:3", f"energy={energy:.17g}"]
    words.append('pbc="' + " ".join("FT"[bool(p)] for p in atoms.pbc) + '"')
    if atoms.cell.rank == 3:
        words.append('Lattice="' + " ".join(f"{x:.17g}" for x in atoms.cell[:].ravel()) + '"')
    if all(atoms.pbc):
        try:
            # ASE's stress is positive when stretched, the virial when compressed.
            virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
            words.append('virial="' + " ".join(f"{x:.17g}" for x in virial.ravel()) + '"')
        except NotImplementedError:
            pass
    with open(target, "w") as out:
        print(len(atoms), " ".join(words), sep="\n", file=out)
        for symbol, r, f in zip(atoms.get_chemical_symbols(), atoms.positions, forces):
            print(symbol, *(f"{x:.17g}" for x in [*r, *f]), file=out)


if __name__ == "__main__":
    try:
        {"versions": versions, "label": label}[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        traceback.print_exc()
        # The last line is what is quoted.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
