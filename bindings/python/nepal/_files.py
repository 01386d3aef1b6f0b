"""Structures handed to the program, as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ._library import InvalidArgument
from ._structures import SYMBOLS, Structures, frames


def _numbers(values: Any) -> str:
    return " ".join(f"{float(x):.17g}" for x in np.asarray(values, dtype=float).ravel())


def _labels(atoms: Any) -> dict[str, Any]:
    """Labels that ASE atoms carry, from a calculator that has them already or under the names of extended XYZ."""
    calc = getattr(atoms, "calc", None)
    found = dict(getattr(calc, "results", None) or {})
    arrays, info = getattr(atoms, "arrays", {}), getattr(atoms, "info", {})
    energy = found.get("free_energy", found.get("energy", info.get("energy")))
    labels = {
        "energy": energy,
        "forces": found.get("forces", arrays.get("forces")),
        "virial": info.get("virial"),
        "stress": found.get("stress", info.get("stress")),
    }
    return {name: value for name, value in labels.items() if value is not None}


def text(atoms: Any) -> str:
    """One frame of extended XYZ, with the labels, keys and columns of ASE atoms."""
    count = len(atoms.numbers)
    labels, arrays = _labels(atoms), getattr(atoms, "arrays", {})
    properties = ["species:S:1", "pos:R:3"]
    symbols = [SYMBOLS[int(z)] for z in atoms.numbers]
    columns = [[f"{symbol} {_numbers(r)}" for symbol, r in zip(symbols, atoms.positions)]]
    real = {name: np.asarray(value) for name, value in arrays.items() if name not in ("numbers", "positions")}
    if "forces" in labels:
        real["forces"] = np.asarray(labels["forces"])
    for name, value in real.items():
        if value.dtype.kind not in "fiub" or value.ndim > 2 or len(value) != count:
            continue
        width = 1 if value.ndim == 1 else value.shape[1]
        kind = "R" if value.dtype.kind == "f" else "I"
        properties.append(f"{name}:{kind}:{width}")
        columns.append([_numbers(v) if kind == "R" else " ".join(str(int(x)) for x in np.ravel(v)) for v in value])
    words = [f'pbc="{" ".join("FT"[bool(p)] for p in atoms.pbc)}"', "Properties=" + ":".join(properties)]
    if any(atoms.pbc) or np.any(np.asarray(atoms.cell)):
        words.insert(0, f'Lattice="{_numbers(np.asarray(atoms.cell))}"')
    if "energy" in labels:
        words.append(f"energy={_numbers(labels['energy'])}")
    if "virial" in labels:
        words.append(f'virial="{_numbers(labels["virial"])}"')
    elif "stress" in labels:
        stress = np.asarray(labels["stress"], dtype=float).ravel()
        if stress.size == 6:
            stress = stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
        words.append(f'stress="{_numbers(stress)}"')
    for key, value in getattr(atoms, "info", {}).items():
        if key not in ("energy", "virial", "stress") and isinstance(value, (str, int, float, np.number)):
            quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
            words.append(f'{key}="{quoted}"')
    rows = "".join(" ".join(row) + "\n" for row in zip(*columns))
    return f"{count}\n{' '.join(words)}\n{rows}"


def read(path: str) -> list[Any]:
    """The frames of a file that nepal-loop wrote as ASE atoms, with the stress where there is a virial."""
    if not os.path.getsize(path):
        return []
    found = frames(path)
    for atoms in found:
        if atoms.calc is not None and "virial" in atoms.info:
            virial = np.asarray(atoms.info["virial"]).ravel()
            atoms.calc.results["stress"] = -virial[[0, 4, 8, 5, 2, 1]] / atoms.get_volume()
    return found


def as_file(structures: Structures, folder: str, name: str) -> str:
    """The path of structures: their own, or that of a file written into a folder."""
    if isinstance(structures, (str, bytes)) or hasattr(structures, "__fspath__"):
        return os.fsdecode(structures)  # type: ignore[arg-type]
    path = os.path.join(folder, name)
    written = write(frames(structures), path)
    if not written:
        raise InvalidArgument("there are no structures; expected at least one")
    return path


def write(structures: Iterable[Any], path: str) -> int:
    """Writes frames; gives their number."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for atoms in structures:
            file.write(text(atoms))
            count += 1
    return count
