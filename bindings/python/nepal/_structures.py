"""Atoms as the C interface takes them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Union

import numpy as np
import numpy.typing as npt

from . import _c_api as c
from ._library import InvalidArgument, sized

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf "
    "Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


#: Numbers in double precision; whole numbers; and what becomes an array of them.
Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ArrayLike = npt.ArrayLike


class AtomsLike(Protocol):
    """Atoms in a cell: `ase.Atoms`, `nepal.Structure`, or whatever else has these; pymatgen's structures and molecules
    are taken as well."""

    positions: Any
    numbers: Any
    cell: Any
    pbc: Any


#: One structure, many, or a file that ASE reads.
Structures = Union[AtomsLike, Iterable[AtomsLike], str, bytes, "os.PathLike[str]"]


class Structure:
    """Atoms in a cell, for use without ASE. It has the attributes of ASE's `Atoms` that count.

    `positions` [n][3] in Å; `numbers` atomic numbers or symbols [n]; `cell` [3][3], one lattice
    vector a row, or three lengths, or None; `pbc` one flag or three.
    """

    def __init__(
        self,
        positions: ArrayLike,
        numbers: Sequence[str | int] | npt.NDArray[Any],
        cell: ArrayLike | None = None,
        pbc: ArrayLike = True,
    ) -> None:
        self.positions: Any = np.array(positions, dtype=np.float64).reshape(-1, 3)
        try:
            self.numbers: Any = np.array(
                [_NUMBERS[x] if isinstance(x, str) else int(x) for x in numbers], dtype=np.int32
            )
        except KeyError as error:
            raise InvalidArgument(f"{error.args[0]!r} is not the symbol of an element") from None
        if cell is None:
            cell, pbc = np.zeros((3, 3)), False
        cell = np.array(cell, dtype=np.float64)
        self.cell: Any = np.diag(cell) if cell.shape == (3,) else cell.reshape(3, 3)
        self.pbc: Any = np.array(np.broadcast_to(pbc, 3), dtype=bool)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """Symbol of each atom."""
        return [SYMBOLS[z] for z in self.numbers]

    def to_ase(self) -> Any:
        """The same as `ase.Atoms`."""
        from ase import Atoms

        return Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.pbc)

    def __repr__(self) -> str:
        return f"nepal.Structure({len(self)} atoms)"


class View:
    """A `nepal_structure_t` and the arrays that it points into.

    Positions in double precision and C order, as ASE has them, are used where they are.
    """

    def __init__(self, atoms: AtomsLike, tags: ArrayLike | None = None, step: int = 0) -> None:
        atoms = adapted(atoms)
        self.positions = _array(atoms.positions, np.float64)
        self.numbers = _array(atoms.numbers, np.int32)
        self.n = len(self.numbers)
        if self.positions.shape != (self.n, 3):
            raise InvalidArgument(
                f"positions have the shape {self.positions.shape}; expected ({self.n}, 3)"
            )
        self.cell = _array(np.asarray(atoms.cell), np.float64)
        if self.cell.shape != (3, 3):
            raise InvalidArgument(f"the cell has the shape {self.cell.shape}; expected (3, 3)")
        self.tags = None if tags is None else _array(tags, np.int64)
        if self.tags is not None and self.tags.shape != (self.n,):
            raise InvalidArgument(f"tags have the shape {self.tags.shape}; expected ({self.n},)")
        self.struct = sized(
            c.nepal_structure_t,
            n_atoms=self.n,
            positions=self.positions.ctypes.data,
            atomic_numbers=self.numbers.ctypes.data,
            cell=self.cell.ctypes.data if any(atoms.pbc) else None,
            periodic=(ctypes.c_int32 * 3)(*(int(bool(p)) for p in atoms.pbc)),
            tags=None if self.tags is None else self.tags.ctypes.data,
            step=step,
        )


def _array(values: Any, dtype: Any) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values, dtype=dtype)


def adapted(atoms: Any) -> Any:
    """Structures and molecules of pymatgen as ours; others as they are."""
    if not hasattr(atoms, "cart_coords"):
        return atoms
    numbers = [site.specie.Z for site in atoms]
    lattice = getattr(atoms, "lattice", None)
    if lattice is None:
        return Structure(atoms.cart_coords, numbers)
    return Structure(atoms.cart_coords, numbers, cell=lattice.matrix, pbc=lattice.pbc)


def frames(structures: Structures) -> list[Any]:
    """A list of structures from one, from many, or from files that ASE reads."""
    if isinstance(structures, (str, bytes)) or hasattr(structures, "__fspath__"):
        from ase import io

        read: Any = io.read
        return list(read(structures, index=":"))
    if hasattr(structures, "positions") or hasattr(structures, "cart_coords"):
        return [adapted(structures)]
    return [adapted(atoms) for atoms in structures]
