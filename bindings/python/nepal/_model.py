"""Models and active sets."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Union

import numpy as np

from . import _c_api as c
from ._library import FileError, InvalidArgument, check, lib, number, sized, text
from ._structures import ArrayLike, Reals, Structures, View, frames

#: A path of a file.
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

BACKENDS = {
    "default": c.NEPAL_BACKEND_DEFAULT,
    "reference": c.NEPAL_BACKEND_REFERENCE,
    "cpu": c.NEPAL_BACKEND_CPU,
    "cuda": c.NEPAL_BACKEND_CUDA,
}
KINDS = {
    "compat": c.NEPAL_GRADE_COMPAT,
    "ridge": c.NEPAL_GRADE_RIDGE,
}


def choice(value: str, choices: Mapping[str, int], what: str) -> int:
    """The number that a name stands for."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        allowed = ", ".join(choices)
        raise InvalidArgument(f"{what} is {value!r}; expected one of {allowed}") from None


class Handle:
    """Owns a handle of the library and frees it with the object."""

    _free: Callable[..., Any]
    _handle: Any

    def _own(self, handle: Any) -> None:
        self._handle = handle
        weakref.finalize(self, type(self)._free, handle)


def handle(function: Any, *arguments: Any) -> Any:
    """Makes a handle."""
    place = ctypes.c_void_p()
    check(function(*arguments, ctypes.byref(place)))
    return place


class Model(Handle):
    """A potential, read from a `nep.txt`. Any number of threads may use one."""

    _free = lib.nepal_model_free

    def __init__(self, path: Path) -> None:
        name = os.fspath(path)
        with open(name, "rb") as file:
            self._parse(file.read(), os.fsdecode(name))

    @classmethod
    def parse(cls, data: str | bytes, name: str = "nep.txt") -> Model:
        """From the text of a `nep.txt`; `name` stands for the file in errors."""
        model = cls.__new__(cls)
        model._parse(data.encode() if isinstance(data, str) else bytes(data), name)
        return model

    def _parse(self, data: bytes, name: str) -> None:
        self._source = data, name
        self._own(handle(lib.nepal_model_parse, data, len(data), name.encode("utf-8", "replace")))
        n = number(lib.nepal_model_n_types, ctypes.c_size_t, self._handle)
        self.elements: tuple[str, ...] = tuple(text(lib.nepal_model_element, self._handle, t) for t in range(n))
        #: First word of the file, such as "nep4_zbl" or "nep4_charge1".
        self.kind: str = text(lib.nepal_model_kind, self._handle)
        self.cutoff: float = number(lib.nepal_model_cutoff, ctypes.c_double, self._handle)
        self.dim: int = number(lib.nepal_model_dim, ctypes.c_size_t, self._handle)
        self.projection_length: int = number(
            lib.nepal_model_projection_length, ctypes.c_size_t, self._handle
        )

    def save(self, path: Path) -> None:
        """Writes a `nep.txt` that reads back to the same numbers."""
        check(lib.nepal_model_save(self._handle, os.fsencode(path)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Model.parse, self._source

    def __repr__(self) -> str:
        return (
            f"nepal.Model({self._source[1]!r}: {' '.join(self.elements)}, cutoff {self.cutoff} Å, "
            f"{self.dim} descriptors)"
        )


def as_model(model: Model | Path) -> Model:
    """A model from itself or a path."""
    return model if isinstance(model, Model) else Model(model)


class ActiveSet(Handle):
    """What a model was trained on, boiled down to what grades need.

    Read from a file, nepal's own or the public `.asi` text; `nepal.active_set` builds one. `kind` is
    "ridge" or "compat": say it wherever you print a grade, the numbers do not compare. `report`
    says how it was built, empty for one from a file. Any number of threads may use one.
    """

    _free = lib.nepal_active_set_free

    def __init__(self, path: Path, model: Model | Path) -> None:
        model = as_model(model)
        self._take(handle(lib.nepal_active_set_load, os.fsencode(path), model._handle), model)

    def _take(self, found: Any, model: Model) -> None:
        self._own(found)
        self.model = model
        kind = number(lib.nepal_active_set_kind, ctypes.c_uint32, found)
        self.kind = next(name for name, value in KINDS.items() if value == kind)
        self.report = text(lib.nepal_active_set_report, found)

    @staticmethod
    def build(model: Model | Path, structures: Structures, **options: Any) -> ActiveSet:
        """The same as `nepal.active_set`."""
        return active_set(model, structures, **options)

    @property
    def ranks(self) -> dict[str, int]:
        """Number of active environments of each element."""
        return {
            element: number(lib.nepal_active_set_rank, ctypes.c_size_t, self._handle, t)
            for t, element in enumerate(self.model.elements)
        }

    def save(self, path: Path) -> None:
        """Writes the set: `.asi` text if its kind is "compat", nepal's own format otherwise."""
        check(lib.nepal_active_set_save(self._handle, os.fsencode(path)))

    def grade(
        self, projections: ArrayLike, element: str | None = None
    ) -> tuple[Reals, Reals, Reals]:
        """γ, ρ and the reported grade of B vectors [n][projection length] of one element."""
        element = self.model.elements[0] if element is None else element
        if element not in self.model.elements:
            known = " ".join(self.model.elements)
            raise InvalidArgument(f"the model does not know {element!r}; it knows {known}")
        rows = np.ascontiguousarray(projections, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.model.projection_length:
            raise InvalidArgument(
                f"the projections have the shape {rows.shape}; "
                f"expected (n, {self.model.projection_length})"
            )
        found = np.empty((3, len(rows)))
        check(
            lib.nepal_active_set_grade(
                self._handle,
                self.model.elements.index(element),
                rows.ctypes.data,
                len(rows),
                *(column.ctypes.data for column in found),
            )
        )
        gamma, rho, grade = found
        return gamma, rho, grade

    def __reduce__(self) -> tuple[Any, ...]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "set")
            self.save(path)
            with open(path, "rb") as file:
                return _restore, (file.read(), self.model)

    def __repr__(self) -> str:
        ranks = ", ".join(f"{element} {rank}" for element, rank in self.ranks.items())
        return f"nepal.ActiveSet({self.kind}: {ranks})"


def _restore(data: bytes, model: Model) -> ActiveSet:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set")
        with open(path, "wb") as file:
            file.write(data)
        return ActiveSet(path, model)


def as_active_set(active_set: ActiveSet | Path | None, model: Model) -> ActiveSet | None:
    """An active set from itself or a path; None stays None."""
    if active_set is None or isinstance(active_set, ActiveSet):
        return active_set
    if not os.path.exists(active_set):
        raise FileError(f"there is no active set {os.fspath(active_set)!r}", c.NEPAL_STATUS_IO)
    return ActiveSet(active_set, model)


class Posterior(Handle):
    """How wrong a model may be, from a file that `nepal-loop train --posterior` wrote.

    σ of a calculator holds 68 % of the errors, of a force their lengths. Any number of threads may use one.
    """

    _free = lib.nepal_posterior_free

    def __init__(self, path: Path, model: Model | Path) -> None:
        with open(path, "rb") as file:
            self._parse(file.read(), os.fsdecode(os.fspath(path)), as_model(model))

    def _parse(self, data: bytes, name: str, model: Model) -> None:
        self._source = data, name, model
        given = name.encode("utf-8", "replace")
        self._own(handle(lib.nepal_posterior_parse, data, len(data), given, model._handle))

    @property
    def at_95(self) -> dict[str, float]:
        """How many σ of a force hold 95 % of the errors, by element; elements that the training data lack are left out."""
        data, _, model = self._source
        found = json.loads(data)["deviations"]["forces"]
        # Files of older versions are of Gaussian errors.
        return {e: f.get("at_95", 1.4929947) for e, f in zip(model.elements, found) if f}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_posterior, self._source


def _restore_posterior(data: bytes, name: str, model: Model) -> Posterior:
    posterior = Posterior.__new__(Posterior)
    posterior._parse(data, name, model)
    return posterior


def as_posterior(posterior: Posterior | Path | None, model: Model) -> Posterior | None:
    """A posterior from itself or a path; None stays None."""
    if posterior is None or isinstance(posterior, Posterior):
        return posterior
    return Posterior(posterior, model)


def active_set(
    model: Model | Path,
    structures: Structures,
    *,
    kind: str = "ridge",
    tolerance: float | None = None,
    resolution: float | None = None,
    backend: str = "default",
) -> ActiveSet:
    """Builds the active set of a model over structures, as a rule its training data.

    `structures` are ASE atoms, `nepal.Structure`s, or a file that ASE reads. `kind` is "ridge",
    or "compat" for a set that GPUMD reads once saved as `.asi`. `resolution` (ridge, default 50): a
    grade of 1 is so small a part of the way from an ordinary environment to the free atom.
    `tolerance` (compat, default 1.001): the largest γ that one of these environments may have. Holds
    all B vectors in memory: 8 bytes times atoms times projection length.
    """
    model = as_model(model)
    views = [View(atoms) for atoms in frames(structures)]
    pointers = (ctypes.c_void_p * len(views))(*(ctypes.addressof(view.struct) for view in views))
    options = sized(
        c.nepal_active_set_options_t,
        kind=choice(kind, KINDS, "kind"),
        backend=choice(backend, BACKENDS, "backend"),
        tolerance=tolerance or 0.0,
        resolution=resolution or 0.0,
    )
    found = handle(
        lib.nepal_active_set_build, model._handle, pointers, len(views), ctypes.byref(options)
    )
    built = ActiveSet.__new__(ActiveSet)
    built._take(found, model)
    return built
