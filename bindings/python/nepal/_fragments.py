"""Fragments: what the callback of the library hands over, copied into numpy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _c_api as c
from ._library import InvalidArgument, sized
from ._structures import Reals, Structure

if TYPE_CHECKING:
    from ._model import Model

#: Ends a call whose callback raised; the exception itself waits in the delivery.
_RAISED = -(2**31)


class Fragment(Structure):
    """A small periodic structure around one atom, the target.

    Besides the attributes of `nepal.Structure`: `target` (index), `target_tag`, `core` [n] (atoms
    that stand where they stand in the parent), `mask` [n] (weights of the forces in training),
    `parent` [n] (tag or index in the parent, -1 for an inserted atom), `grades` [n] or None, `grade`,
    `gamma` and `rho` of the target in the parent, `whole` (this is the parent itself), `step`,
    `summary`.
    """

    def __init__(self, view: Any, elements: Sequence[str]) -> None:
        n = view.n_atoms

        def copy(address: Any, kind: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
            return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(kind)), shape).copy()

        types = copy(view.types, ctypes.c_int32, (n,))
        super().__init__(
            copy(view.positions, ctypes.c_double, (n, 3)),
            [elements[t] for t in types],
            cell=np.array(view.cell).reshape(3, 3),
            pbc=[bool(flag) for flag in view.periodic],
        )
        self.target: int = view.target
        self.target_tag: int = view.target_tag
        self.core = copy(view.core, ctypes.c_int32, (n,)).astype(bool)
        self.mask: Reals = copy(view.mask, ctypes.c_double, (n,))
        self.parent = copy(view.tags, ctypes.c_int64, (n,))
        self.grades: Reals | None = copy(view.grades, ctypes.c_double, (n,)) if view.grades else None
        self.grade: float = view.grade
        self.gamma: float = view.gamma
        self.rho: float = view.rho
        self.whole = bool(view.whole)
        self.step: int = view.step
        self.summary: str = (view.summary or b"").decode("utf-8", "replace")

    def to_ase(self) -> Any:
        """ASE atoms with arrays `core`, `force_mask`, `parent_id` and, if known, `grade`.

        Written as extended XYZ, that is a frame that nepal trains on once it is labelled.
        """
        atoms = super().to_ase()
        atoms.new_array("force_mask", self.mask)
        atoms.new_array("core", self.core.astype(np.int64))
        atoms.new_array("parent_id", self.parent)
        if self.grades is not None:
            atoms.new_array("grade", self.grades)
        atoms.info["energy_weight"] = float(self.mask.mean())
        atoms.info["fragment_target"] = int(self.target)
        atoms.info["fragment_step"] = int(self.step)
        return atoms

    def __repr__(self) -> str:
        return f"nepal.Fragment({len(self)} atoms around {self.target}, {self.summary})"


def fragment_options(
    *,
    save: float = 0.0,
    max_fragments: int = 0,
    optimise: bool = True,
    keep_molecules: bool = False,
    max_atoms: int | None = 0,
    core_radius: float | None = 0.0,
    max_size: float | None = 0.0,
    seed: int = 1,
) -> Any:
    """The struct of options."""
    flags = c.NEPAL_FRAGMENT_OPTIMISE if optimise else 0
    flags |= c.NEPAL_FRAGMENT_KEEP_MOLECULES if keep_molecules else 0
    for name, value in (("max_atoms", max_atoms), ("max_fragments", max_fragments), ("seed", seed)):
        if value is not None and value < 0:
            raise InvalidArgument(f"{name} is {value}; expected a number that is not negative")
    return sized(
        c.nepal_fragment_options_t,
        save=save,
        flags=flags,
        max_fragments=max_fragments,
        core_radius=core_radius or 0.0,
        max_size=max_size or 0.0,
        max_atoms=max_atoms or 0,
        seed=seed,
    )


class Delivery:
    """A Python callable behind the C function type; exceptions wait until the call is over."""

    def __init__(self, model: Model, callback: Callable[[Fragment], object]) -> None:
        self._raised: BaseException | None = None
        elements = model.elements

        def deliver(_: Any, view: Any) -> int:
            try:
                callback(Fragment(view.contents, elements))
            except BaseException as error:  # nothing may pass through C
                self._raised = error
                return _RAISED
            return 0

        self.function = c.nepal_fragment_callback_t(deliver)

    def reraise(self) -> None:
        """Raises what the callback raised."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
