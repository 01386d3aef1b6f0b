"""The calculator on numpy arrays, without ASE."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from . import _c_api as c
from ._fragments import Delivery, Fragment, fragment_options
from ._library import InvalidArgument, check, lib, sized, text
from ._model import (
    BACKENDS,
    ActiveSet,
    Handle,
    Model,
    Path,
    Posterior,
    as_active_set,
    as_model,
    as_posterior,
    choice,
    handle,
)
from ._names import MEASURES, PRECISIONS, SHAPES
from ._structures import ArrayLike, AtomsLike, Reals, View

class Calculator(Handle):
    """A model on a backend. One thread at a time.

    `model`, `active_set` and `posterior` are objects or paths; `sigma` (of each atom's force, eV/Å),
    `sigma_energies` and `sigma_energy` (eV) hold 68 % of the errors (`Posterior.at_95`: 95 %) and need a posterior. `backend` is "default", "reference", "cpu" or
    "cuda", with `device` the number of the GPU. `threads` is the number of threads to compute with;
    0 means one for each core, shared with other calculators. `precision` is "f64" or, about twice as
    fast on "cpu", "mixed". The interpreter lock is not held while it computes. `dftd3` adds the dispersion
    correction D3 (Becke-Johnson) to models trained without one: the functional and the cutoffs (Å) of pairs
    and of the coordination number, such as ("pbe", 12, 6).
    """

    _free = lib.nepal_calculator_free

    def __init__(
        self,
        model: Model | Path,
        active_set: ActiveSet | Path | None = None,
        *,
        backend: str = "default",
        threads: int = 0,
        device: int = 0,
        precision: str = "f64",
        posterior: Posterior | Path | None = None,
        dftd3: tuple[str, float, float] | None = None,
    ) -> None:
        self.model = as_model(model)
        for name, value in (("threads", threads), ("device", device)):
            if not 0 <= value < 2**32:
                raise InvalidArgument(f"{name} is {value}; expected 0 or a positive number")
        options = sized(
            c.nepal_calculator_options_t,
            backend=choice(backend, BACKENDS, "backend"),
            threads=threads,
            device=device,
            precision=choice(precision, PRECISIONS, "precision"),
        )
        self._delivery: Delivery | None = None
        self._options: dict[str, Any] = {
            "backend": backend,
            "threads": threads,
            "device": device,
            "precision": precision,
        }
        self._own(handle(lib.nepal_calculator_new, self.model._handle, ctypes.byref(options)))
        self._set_active_set(active_set)
        self.posterior = posterior
        self.dftd3 = dftd3

    @property
    def dftd3(self) -> tuple[str, float, float] | None:
        """Functional and cutoffs of the dispersion correction that is added."""
        return self._dftd3

    @dftd3.setter
    def dftd3(self, dftd3: tuple[str, float, float] | None) -> None:
        functional, *cutoffs = dftd3 or (None, 0.0, 0.0)
        if len(cutoffs) != 2:
            raise InvalidArgument(f'dftd3 is {dftd3!r}; expected such as ("pbe", 12, 6), or None')
        name = None if functional is None else functional.encode()
        check(lib.nepal_calculator_set_dftd3(self._handle, name, *cutoffs))
        self._dftd3 = dftd3

    @property
    def posterior(self) -> Posterior | None:
        """The posterior that deviations need."""
        return self._posterior

    @posterior.setter
    def posterior(self, posterior: Posterior | Path | None) -> None:
        posterior = as_posterior(posterior, self.model)
        given = None if posterior is None else posterior._handle
        check(lib.nepal_calculator_set_posterior(self._handle, given))
        self._posterior = posterior

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return text(lib.nepal_calculator_backend, self._handle)

    @property
    def active_set(self) -> ActiveSet | None:
        """The active set that was given. What fragments teach a calculator stays inside it."""
        return self._active_set

    @active_set.setter
    def active_set(self, active_set: ActiveSet | Path | None) -> None:
        self._set_active_set(active_set)

    def _set_active_set(self, active_set: ActiveSet | Path | None) -> None:
        active_set = as_active_set(active_set, self.model)
        given = None if active_set is None else active_set._handle
        check(lib.nepal_calculator_set_active_set(self._handle, given))
        self._active_set = active_set

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of `nepal.SHAPES` that there are; grades need an active set besides."""
        kind = self.model.kind
        tensors = {name for name in ("dipole", "polarizability") if kind.endswith(name)}
        missing = {"charges", "born_charges"} if "charge" not in kind else set()
        if self.posterior is None:
            missing |= {"sigma", "sigma_energies", "sigma_energy"}
        if tensors:
            missing |= {"energy", "energies", "forces", "virial", "virials"}
        for whole, shares in (("dipole", "dipoles"), ("polarizability", "polarizabilities")):
            if whole not in tensors:
                missing |= {whole, shares}
        return tuple(name for name in SHAPES if name not in missing)

    def compute(
        self,
        atoms: AtomsLike,
        properties: Iterable[str] = ("energy", "forces"),
        *,
        out: Mapping[str, Reals] | None = None,
        tags: ArrayLike | None = None,
        step: int = 0,
        temperature: float | None = None,
        charge: float = 0.0,
        mesh_error: float = 0.0,
    ) -> dict[str, Any]:
        """Computes `properties` (names of `nepal.SHAPES`) and gives a dict of arrays.

        `atoms` are ASE's or a `nepal.Structure`. `virial` is -dE/d(strain) in eV, positive in
        compression. `out` may hold arrays of the right shape, double and C-contiguous, that are
        written in place. `tags` [n] and `step` come back with fragments.

        What some models want besides: `temperature` of the electrons in K, total `charge` in e, and
        `mesh_error`, the error of sums over reciprocal space as a part of their forces; 0 leaves it
        to nepal, -1 sums term by term. `properties` says what the model has.
        """
        view = View(atoms, tags, step)
        sizes = {
            "n": view.n,
            "dim": self.model.dim,
            "projection_length": self.model.projection_length,
        }
        places = sized(c.nepal_results_t)
        found: dict[str, Any] = {}
        for name in properties:
            if name not in SHAPES:
                known = ", ".join(SHAPES)
                raise InvalidArgument(f"there is no property {name!r}; there are {known}")
            shape = tuple(
                sizes[size] if isinstance(size, str) else size for size in SHAPES[name]
            )
            array = None if out is None else out.get(name)
            if array is None:
                array = np.empty(shape)
            elif (
                array.shape != shape
                or array.dtype != np.float64
                or not array.flags.c_contiguous
                or not array.flags.writeable
            ):
                raise InvalidArgument(
                    f"out[{name!r}] cannot be written in place; expected a writable C-contiguous "
                    f"array of float64 with the shape {shape}"
                )
            found[name] = array
            setattr(places, name, array.ctypes.data)
        places.charge, places.mesh_error = charge, mesh_error
        if temperature is not None:
            places.flags |= c.NEPAL_RESULTS_TEMPERATURE
            places.temperature = temperature
        delivery = self._delivery
        status = lib.nepal_calculator_compute(
            self._handle, ctypes.byref(view.struct), ctypes.byref(places)
        )
        if delivery is not None:
            delivery.reraise()
        check(status)
        for name in ("energy", "sigma_energy"):
            if name in found and (out is None or name not in out):
                found[name] = float(found[name])
        return found

    def contract(self, atoms: AtomsLike, gradient: ArrayLike) -> tuple[Reals, Reals]:
        """Forces -dΦ/dr [n][3] and virial [3][3] of a scalar Φ of the descriptors.

        `gradient` is dΦ/dq [n][dim] by the scaled descriptors.
        """
        view = View(atoms)
        gradient = np.ascontiguousarray(gradient, dtype=np.float64)
        if gradient.shape != (view.n, self.model.dim):
            raise InvalidArgument(
                f"the gradient has the shape {gradient.shape}; "
                f"expected ({view.n}, {self.model.dim})"
            )
        forces, virial = np.empty((view.n, 3)), np.empty((3, 3))
        check(
            lib.nepal_calculator_contract(
                self._handle,
                ctypes.byref(view.struct),
                gradient.ctypes.data,
                forces.ctypes.data,
                virial.ctypes.data,
            )
        )
        return forces, virial

    def grade_gradient(
        self, atoms: AtomsLike, measure: str = "smooth", exponent: float | None = None
    ) -> tuple[Reals, Reals]:
        """A measure of each atom's grade [n], and its gradient by the atom's descriptors [n][dim].

        `measure` is "gamma", "rho", "grade" (as reported), or "smooth": near the reported grade and
        without kinks, the nearer the larger `exponent` is (default 8). Multiplied by the derivative
        of a potential of the measure, the gradient is what `contract` makes forces of.
        """
        number, exponent = _measure(measure, exponent)
        view = View(atoms)
        values, gradient = np.empty(view.n), np.empty((view.n, self.model.dim))
        check(
            lib.nepal_calculator_grade_gradient(
                self._handle,
                ctypes.byref(view.struct),
                number,
                exponent,
                values.ctypes.data,
                gradient.ctypes.data,
            )
        )
        return values, gradient

    def contract_grade(
        self,
        atoms: AtomsLike,
        weights: ArrayLike | None = None,
        measure: str = "smooth",
        exponent: float | None = None,
    ) -> tuple[Reals, Reals, Reals]:
        """Grades [n], and forces -dΦ/dr [n][3] and virial [3][3] of Φ = Σ weights·grades.

        `measure` and `exponent` are those of `grade_gradient`. For another function Φ of the grades
        give its derivatives as the `weights` [n]: that is how a simulation is pushed towards or kept
        from what the model does not know.
        """
        number, exponent = _measure(measure, exponent)
        view = View(atoms)
        if weights is not None:
            factors = np.ascontiguousarray(weights, dtype=np.float64)
            if factors.shape != (view.n,):
                raise InvalidArgument(f"weights have the shape {factors.shape}; expected ({view.n},)")
        values, forces, virial = np.empty(view.n), np.empty((view.n, 3)), np.empty((3, 3))
        check(
            lib.nepal_calculator_contract_grade(
                self._handle,
                ctypes.byref(view.struct),
                number,
                exponent,
                None if weights is None else factors.ctypes.data,
                values.ctypes.data,
                forces.ctypes.data,
                virial.ctypes.data,
            )
        )
        return values, forces, virial

    def contract_sigma(self, atoms: AtomsLike) -> tuple[float, Reals, Reals]:
        """σ of the total energy by the posterior (eV), and forces -dσ/dr [n][3] and virial [3][3] of it: the bias of
        hyperactive learning is -τ σ."""
        view, sigma = View(atoms), ctypes.c_double()
        forces, virial = np.empty((view.n, 3)), np.empty((3, 3))
        check(
            lib.nepal_calculator_contract_sigma(
                self._handle,
                ctypes.byref(view.struct),
                ctypes.byref(sigma),
                forces.ctypes.data,
                virial.ctypes.data,
            )
        )
        return sigma.value, forces, virial

    def learn(self, atoms: AtomsLike, threshold: float = 2.0) -> int:
        """Takes environments whose grade is above the threshold into the calculator's own active
        set, worst first, until none is; gives their number. `active_set` stays what it was."""
        view, learned = View(atoms), ctypes.c_size_t()
        check(
            lib.nepal_calculator_learn(
                self._handle, ctypes.byref(view.struct), threshold, ctypes.byref(learned)
            )
        )
        return int(learned.value)

    def fragments_to(
        self, path: Path | None, *, save: float = 1.5, max_fragments: int = 16, **options: Any
    ) -> None:
        """Appends fragments to an extended XYZ file instead of calling Python; None ends it.

        All else is as with `on_fragment`.
        """
        given = fragment_options(save=save, max_fragments=max_fragments, **options)
        name = None if path is None else os.fsencode(path)
        check(
            lib.nepal_calculator_set_fragment_file(self._handle, ctypes.byref(given), name)
        )
        self._delivery = None

    def on_fragment(
        self,
        callback: Callable[[Fragment], object] | None,
        *,
        save: float = 1.5,
        max_fragments: int = 16,
        **options: Any,
    ) -> None:
        """Has `callback(fragment)` called for atoms whose grade is above `save`.

        That happens inside every later `compute` that asks for grades; the environment then enters
        the calculator's own copy of the active set and does not come back. An exception of the
        callback ends that `compute`. None removes it. `options` are those of `nepal.fragment`.
        """
        if callback is None:
            status = lib.nepal_calculator_set_fragment_callback(
                self._handle, None, c.nepal_fragment_callback_t(), None
            )
            check(status)
            self._delivery = None
            return
        delivery = Delivery(self.model, callback)
        given = fragment_options(save=save, max_fragments=max_fragments, **options)
        check(
            lib.nepal_calculator_set_fragment_callback(
                self._handle, ctypes.byref(given), delivery.function, None
            )
        )
        self._delivery = delivery

    def fragment_counts(self) -> dict[str, int]:
        """How many selected atoms were delivered, covered by another fragment, or refused."""
        counts = [ctypes.c_size_t() for _ in range(3)]
        check(lib.nepal_calculator_fragment_counts(self._handle, *map(ctypes.byref, counts)))
        return dict(zip(("delivered", "covered", "refused"), (n.value for n in counts)))

    def fragment_refusal(self) -> str:
        """Why the last refused fragment could not be made; empty if none was refused."""
        return text(lib.nepal_calculator_fragment_refusal, self._handle)

    def fragment(
        self, atoms: AtomsLike, index: int, *, tags: ArrayLike | None = None, **options: Any
    ) -> Fragment:
        """A small periodic structure around one atom; see `nepal.fragment`."""
        view = View(atoms, tags)
        found: list[Fragment] = []
        delivery = Delivery(self.model, found.append)
        given = fragment_options(**options)
        index = int(index)
        if not -view.n <= index < view.n:
            raise InvalidArgument(f"atom {index} does not exist; there are {view.n} atoms")
        status = lib.nepal_calculator_fragment_around(
            self._handle,
            ctypes.byref(view.struct),
            index % view.n,
            ctypes.byref(given),
            delivery.function,
            None,
        )
        delivery.reraise()
        check(status)
        return found[0]

    def __reduce__(self) -> tuple[Any, ...]:
        options = {**self._options, "posterior": self.posterior, "dftd3": self.dftd3}
        return _restore, (self.model, self.active_set, options)

    def __repr__(self) -> str:
        return f"nepal.Calculator({self.model!r}, {self.active_set!r}, backend={self.backend!r})"


def _measure(name: str, exponent: float | None) -> tuple[int, float]:
    number = choice(name, MEASURES, "measure")
    if exponent is None:
        exponent = 8.0 if name == "smooth" else 0.0
    return number, exponent


def _restore(
    model: Model, active_set: ActiveSet | None, options: dict[str, Any]
) -> Calculator:
    return Calculator(model, active_set, **options)


def fragment(calculator: Any, atoms: AtomsLike, index: int, **options: Any) -> Fragment:
    """Cuts a small periodic structure around atom `index`, small enough for a reference method.

    `calculator` is a `nepal.Calculator`, an ASE calculator of nepal, or a model. Options, with their
    defaults:

    - `optimise=True`: relax the boundary and, with an active set, minimise its grade;
    - `max_atoms=300`: largest number of atoms;
    - `core_radius`: radius around the target within which nothing moves, Å (a little more than the
      cutoff);
    - `max_size`: largest distance between periodic images, Å (what `max_atoms` allows);
    - `keep_molecules=False`: keep or drop molecules as a whole;
    - `seed=1`.

    Raises `nepal.Failed` with the reason if no fragment can be made.
    """
    inner = getattr(calculator, "calculator", calculator)
    if not isinstance(inner, Calculator):
        inner = Calculator(inner)
    made: Fragment = inner.fragment(atoms, index, **options)
    return made
