"""Labels by ASE calculators and by functions.

usage: worker versions WHAT
       worker label WHAT ARGUMENTS INPUT OUTPUT
WHAT is module:Class of an ASE calculator, or FILE.py:function; ARGUMENTS is a JSON object.
"""
import importlib
import importlib.util
import json
import os
import sys


def load(name):
    module, _, attribute = name.rpartition(":")
    if not module.endswith(".py"):
        return getattr(importlib.import_module(module), attribute)
    spec = importlib.util.spec_from_file_location("nepal_function", module)
    found = importlib.util.module_from_spec(spec)
    sys.modules["nepal_function"] = found
    spec.loader.exec_module(found)
    return getattr(found, attribute)


def versions(name):
    import importlib.metadata as metadata

    load(name)
    told = []
    # The content of a file is told apart by nepal itself.
    for package in ["ase"] + ([] if ".py:" in name else [name.split(":")[0].split(".")[0]]):
        try:
            told.append(package + " " + metadata.version(package))
        except metadata.PackageNotFoundError:
            pass
    print("; ".join(sorted(set(told))))


def numbers(values):
    return " ".join(f"{float(x):.17g}" for x in values)


def frame(atoms, labels=None, info=None, mask=None):
    """A frame of extended XYZ in eV and Å; the virial is positive in compression."""
    labels = labels or {}
    forces = labels.get("forces")
    properties = "species:S:1:pos:R:3"
    columns = [atoms.get_chemical_symbols(), atoms.positions]
    if forces is not None:
        properties += ":forces:R:3"
        columns.append(forces)
    if mask is not None:
        properties += ":force_mask:R:1"
        columns.append([[x] for x in mask])
    words = ["Properties=" + properties, 'pbc="' + " ".join("FT"[bool(p)] for p in atoms.pbc) + '"']
    if labels.get("energy") is not None:
        words.append(f"energy={float(labels['energy']):.17g}")
    if atoms.cell.rank == 3:
        words.append('Lattice="' + numbers(atoms.cell[:].ravel()) + '"')
    if labels.get("virial") is not None:
        words.append('virial="' + numbers(labels["virial"]) + '"')
    words += [f"{key}={json.dumps(str(value))}" for key, value in (info or {}).items()]
    lines = [str(len(atoms)), " ".join(words)]
    for symbol, *rows in zip(*columns):
        lines.append(" ".join([symbol, *(numbers(row) for row in rows)]))
    return "\n".join(lines) + "\n"


def stress_to_virial(stress, atoms):
    import numpy as np

    stress = np.asarray(stress, dtype=float)
    if stress.size == 6:
        xx, yy, zz, yz, xz, xy = stress.ravel()
        stress = np.array([xx, xy, xz, xy, yy, yz, xz, yz, zz])
    # ASE's stress is positive when stretched.
    return -stress.ravel() * atoms.get_volume()


def calculated(atoms):
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        # The free energy is what the forces belong to.
        energy = atoms.get_potential_energy(force_consistent=True)
    except (PropertyNotImplementedError, TypeError):
        energy = atoms.get_potential_energy()
    labels = {"energy": energy, "forces": atoms.get_forces()}
    if all(atoms.pbc):
        try:
            labels["virial"] = stress_to_virial(atoms.get_stress(voigt=False), atoms)
        except NotImplementedError:
            pass
    return labels


def returned(found, atoms):
    """The labels of what a function gave: a dict, or (energy, forces) with or without the stress."""
    import numpy as np

    if isinstance(found, tuple) and len(found) in (2, 3):
        found = dict(zip(("energy", "forces", "stress"), found))
    if not isinstance(found, dict) or "energy" not in found or "forces" not in found:
        raise TypeError(
            "the function returned %s; expected a dict with energy (eV), forces (eV/Å) and, of a periodic cell, "
            "stress (eV/Å³, positive in tension) or virial (eV)" % type(found).__name__
        )
    forces = np.asarray(found["forces"], dtype=float)
    if forces.shape != (len(atoms), 3):
        raise ValueError(f"the function returned forces of the shape {forces.shape}; expected ({len(atoms)}, 3)")
    labels = {"energy": float(found["energy"]), "forces": forces}
    if found.get("virial") is not None:
        labels["virial"] = np.asarray(found["virial"], dtype=float).ravel()
    elif found.get("stress") is not None:
        labels["virial"] = stress_to_virial(found["stress"], atoms)
    return labels


def label(name, arguments, source, target):
    from ase.io import read

    atoms = read(source, format="extxyz")
    arguments = json.loads(arguments)
    if ".py:" in name:
        labels = returned(load(name)(atoms.copy(), **arguments), atoms)
    else:
        atoms.calc = load(name)(**arguments)
        labels = calculated(atoms)
    with open(target, "w", encoding="utf-8") as out:
        out.write(frame(atoms, labels))
