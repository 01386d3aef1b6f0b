"""Calculators for ASE: one model, or a committee of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from ._calculator import Calculator
from ._fragments import Fragment
from ._library import InvalidArgument
from ._model import ActiveSet, Model, Path
from ._structures import Reals

#: From a matrix to ASE's six numbers.
_voigt: Any = full_3x3_to_voigt_6_stress

#: Names of ASE, and the results of nepal that they are made from.
_SOURCES = {
    "energy": "energy",
    "free_energy": "energy",
    "energies": "energies",
    "forces": "forces",
    "stress": "virial",
    "stresses": "virials",
    "charges": "charges",
    "dipole": "dipole",
    "polarizability": "polarizability",
    "born_effective_charges": "born_charges",
}
#: What ASE has no name for. `virial` is -dE/d(strain) in eV, [3][3], positive in compression.
_OWN = ("virial", "virials", "descriptors", "projections", "gamma", "rho", "grade")
#: σ of forces and energies, which need a posterior.
_SIGMA = ("sigma", "sigma_energies", "sigma_energy")
#: Computed with every change of the atoms, since they come from the same pass.
_ALWAYS = ("energy", "energies", "forces", "virial")
#: The same of models that have them.
_ALWAYS_IF_THERE = (*_ALWAYS, "charges", "dipole", "polarizability")


def _to_ase(
    found: dict[str, Any], atoms: Any, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Results under the names of ASE: stress is dE/d(strain)/V, positive in tension, as xx yy zz
    yz xz xy."""
    results = dict(found)
    if "energy" in found:
        results["free_energy"] = found["energy"]
    if "born_charges" in found:
        results["born_effective_charges"] = results.pop("born_charges")
    if atoms.cell.rank == 3:
        volume = atoms.get_volume()
        if "virial" in found:
            results["stress"] = _voigt(found["virial"]) / -volume
        if "virials" in found:
            results["stresses"] = _voigt(found["virials"]) / -volume
    elif names is not None and not {"stress", "stresses"}.isdisjoint(names):
        raise InvalidArgument("stress needs a cell with three lattice vectors")
    return results


class _Base(AseCalculator):  # type: ignore[misc,unused-ignore]
    """What the calculators here share."""

    def export_properties(self) -> Any:
        """The results that ASE has names for."""
        return Properties({k: v for k, v in self.results.items() if k in all_outputs})


class Nepal(_Base):
    """ASE calculator of one model.

    `model`, `active_set` and `posterior` are objects or paths; `backend` is "default", "reference", "cpu" or
    "cuda"; `options` are the others of `nepal.Calculator`: `threads`, `device`, `precision`, `dftd3`.
    `conditions` go to each computation: `temperature` of the electrons (K) and total `charge` (e) of
    models that want them, `mesh_error` of sums over reciprocal space. Besides ASE's properties, among
    them `charges`, `dipole`, `polarizability` and `born_effective_charges` of models that have them,
    `calc.get_property(name, atoms)` gives `virial`, `virials`, `descriptors`, `projections` (the B
    vectors) and, with an active set, `gamma`, `rho` and `grade`, with a posterior `sigma` (of each
    atom's force, eV/Å), `sigma_energies` and `sigma_energy` (eV). These are computed when asked for. `calc.calculator` is the `nepal.Calculator`.
    """

    implemented_properties = [*_SOURCES, *_OWN, *_SIGMA]
    nolabel = True

    def __init__(
        self,
        model: Model | Path,
        active_set: ActiveSet | Path | None = None,
        *,
        backend: str = "default",
        atoms: Any = None,
        conditions: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        #: Take effect with the next change of the atoms, or after `reset()`.
        self.conditions = dict(conditions or {})
        self.calculator = Calculator(model, active_set, backend=backend, **options)
        #: Those of them that the model has.
        self.implemented_properties = [
            name
            for name in type(self).implemented_properties
            if _SOURCES.get(name, name) in self.calculator.properties
        ]
        super().__init__(atoms=atoms)  # type: ignore[no-untyped-call,unused-ignore]
        #: Comes back with fragments; counts the computations of changed atoms.
        self.step = 0

    @property
    def model(self) -> Model:
        """The model."""
        return self.calculator.model

    @property
    def active_set(self) -> ActiveSet | None:
        """The active set; setting one forgets the results so far."""
        return self.calculator.active_set

    @active_set.setter
    def active_set(self, active_set: ActiveSet | Path | None) -> None:
        self.calculator.active_set = active_set
        self.reset()  # type: ignore[no-untyped-call,unused-ignore]

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call,unused-ignore]
        wanted = {_SOURCES.get(name, name) for name in properties}
        if system_changes:
            self.results = {}
            self.step += 1
            wanted.update(set(_ALWAYS_IF_THERE).intersection(self.calculator.properties))
        if "grade" in wanted or "gamma" in wanted or "rho" in wanted:
            wanted.update(("gamma", "rho", "grade"))
        if not wanted.isdisjoint(_SIGMA):
            wanted.update(_SIGMA)
        wanted.difference_update(_SOURCES.get(name, name) for name in self.results)
        current: Any = self.atoms
        conditions: dict[str, Any] = dict(self.conditions)
        found = self.calculator.compute(current, sorted(wanted), step=self.step, **conditions)
        self.results.update(_to_ase(found, self.atoms, properties))

    def get_grades(self, atoms: Any = None) -> Any:
        """The reported grade of each atom: up to 1 inside known ground."""
        return self.get_property("grade", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def get_sigma(self, atoms: Any = None) -> Any:
        """σ of each atom's force, which 68 % of the errors (their lengths) do not exceed, eV/Å; needs a posterior."""
        return self.get_property("sigma", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def get_descriptors(self, atoms: Any = None) -> Any:
        """Descriptors [n][dim], scaled as the network sees them."""
        return self.get_property("descriptors", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def get_projections(self, atoms: Any = None) -> Any:
        """B vectors [n][projection length]: dE_i/d(parameters of the network)."""
        return self.get_property("projections", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def get_born_effective_charges(self, atoms: Any = None) -> Any:
        """Born effective charges [n][3][3] in e, first the direction of the polarization."""
        return self.get_property("born_effective_charges", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def get_polarizability(self, atoms: Any = None) -> Any:
        """Polarizability [3][3] in the unit of the training data."""
        return self.get_property("polarizability", atoms)  # type: ignore[no-untyped-call,unused-ignore]

    def on_fragment(self, callback: Callable[[Fragment], object] | None, **options: Any) -> None:
        """Has `callback(fragment)` called when grades are computed; see
        `nepal.Calculator.on_fragment`."""
        self.calculator.on_fragment(callback, **options)

    def __deepcopy__(self, memo: Any) -> Nepal:
        options = {
            **self.calculator._options,
            "conditions": self.conditions,
            "posterior": self.calculator.posterior,
            "dftd3": self.calculator.dftd3,
        }
        return type(self)(self.model, self.active_set, **options)


class Extrapolates(Exception):
    """An atom's grade went over the `halt` of a `Monitor`."""


class Monitor:
    """Watches the grades of a simulation: `dynamics.attach(Monitor(atoms, ...), interval=10)`.

    Atoms above `save` are cut out as fragments and written to `path` (extended XYZ, appended), each
    environment once; above `halt` the run ends with `Extrapolates`. `history` has the number of the
    check and the largest grade of each call. `options` are those of `nepal.fragment`.
    """

    def __init__(
        self,
        atoms: Any,
        *,
        save: float = 1.5,
        halt: float = 4.0,
        path: Path | None = None,
        **options: Any,
    ) -> None:
        self.atoms, self.halt, self.path = atoms, halt, path
        self.history: list[tuple[int, float]] = []
        self.fragments: list[Fragment] = []
        atoms.calc.on_fragment(self._keep, save=save, **options)

    def _keep(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)
        if self.path is not None:
            from ase import io

            write: Any = io.write
            write(self.path, fragment.to_ase(), format="extxyz", append=True)

    def __call__(self) -> None:
        grades = self.atoms.calc.get_grades(self.atoms)
        worst = int(grades.argmax()) if len(grades) else 0
        largest = float(grades[worst]) if len(grades) else 0.0
        self.history.append((len(self.history), largest))
        if largest > self.halt:
            raise Extrapolates(
                f"atom {worst} has the {self.atoms.calc.active_set.kind} grade {largest:.2f}, "
                f"above {self.halt}"
            )


class Committee(_Base):
    """Several models at once: the mean, and how far they disagree.

    Besides ASE's properties (means over the models): `energy_std` (eV), `energies_std` [n] (eV),
    `forces_std` [n] (eV/Å, the root mean square deviation of the force vector), `forces_max`
    (the largest of them), and `committee_energies` [models], `committee_forces` [models][n][3].
    The deviations divide by the number of models.
    """

    implemented_properties = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "virial",
        "energy_std",
        "energies_std",
        "forces_std",
        "forces_max",
        "committee_energies",
        "committee_forces",
    ]
    nolabel = True

    def __init__(
        self, models: Iterable[Model | Path], *, backend: str = "default", **kwargs: Any
    ) -> None:
        self.calculators = [Calculator(model, backend=backend) for model in models]
        if len(self.calculators) < 2:
            raise InvalidArgument("a committee takes at least two models")
        super().__init__(**kwargs)  # type: ignore[no-untyped-call,unused-ignore]

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call,unused-ignore]
        current: Any = self.atoms
        members = [member.compute(current, _ALWAYS) for member in self.calculators]
        stacked = {name: np.array([found[name] for found in members]) for name in _ALWAYS}
        mean = {name: values.mean(axis=0) for name, values in stacked.items()}
        mean["energy"] = float(mean["energy"])
        deviation = stacked["forces"] - mean["forces"]
        forces_std = np.sqrt((deviation**2).sum(axis=2).mean(axis=0))
        self.results = _to_ase(mean, self.atoms, properties)
        self.results.update(
            energy_std=float(stacked["energy"].std()),
            energies_std=stacked["energies"].std(axis=0),
            forces_std=forces_std,
            forces_max=float(forces_std.max(initial=0.0)),
            committee_energies=stacked["energy"],
            committee_forces=stacked["forces"],
        )
