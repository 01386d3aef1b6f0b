"""What is one command each: training, selection, fragments, audits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any, Union

import numpy as np

from . import _program as program
from ._files import as_file, read
from ._library import InvalidArgument
from ._model import ActiveSet, Model, Path
from ._program import OnProgress
from ._structures import Structures, frames
from ._table import Table

#: `nep.in`: its path, its text, or its keywords.
Settings = Union[Path, Mapping[str, Any]]

_LOSS = ("epoch", "loss", "l1", "l2", "energy_train", "force_train", "virial_train", "energy_test", "force_test",
         "virial_test")


class Training:
    """What `nepal.train` made: `model`, `path` of its file, `history`, and errors of `train` and `test`.

    `history` is a `nepal.Table` of the start and each epoch: `loss` and the root mean square errors of energy (eV/atom), force (eV/Å)
    and virial (eV/atom). `train` and `test` are dictionaries such as `energy_rmse`, `force_mae`; `test` is None
    without a test set. `result` is all that the program said.
    """

    def __init__(self, path: str, result: dict[str, Any]) -> None:
        self.path = path
        self.result = result
        self.model = Model(path)
        self.train: dict[str, Any] = result["train"]
        self.test: dict[str, Any] | None = result["test"]
        loss = os.path.join(os.path.dirname(path), "loss.out")
        rows = np.loadtxt(loss, ndmin=2) if os.path.exists(loss) and os.path.getsize(loss) else np.empty((0, 10))
        self.history = Table({name: rows[:, k] for k, name in enumerate(_LOSS[: rows.shape[1]])})

    def predictions(self, what: str = "force", data: str = "train") -> Any:
        """Predicted and reference values: of "energy" [frames][2] (eV/atom), "force" [atoms][6] (eV/Å), "virial"
        [frames][12] (eV/atom), the predicted first; of the `data` "train" or "test"."""
        path = os.path.join(os.path.dirname(self.path), f"{what}_{data}.out")
        if not os.path.exists(path):
            raise InvalidArgument(f"there is no {path}; what is energy, force or virial, data is train or test")
        return np.loadtxt(path, ndmin=2)

    def __repr__(self) -> str:
        error = self.train.get("force_rmse")
        shown = "" if error is None else f", force error {1e3 * error:.1f} meV/Å"
        return f"nepal.Training({self.path!r}{shown})"


def train(
    settings: Settings,
    structures: Structures,
    *,
    test: Structures | None = None,
    out: Path | None = None,
    progress: OnProgress = None,
    **options: Any,
) -> Training:
    """Trains a potential.

    `settings` is a `nep.in` (path or text) or a dictionary of its keywords; `structures` and `test` are labelled
    ASE atoms or a file. `out` is the file of the model, beside which GPUMD's usual files are written (a new folder
    unless given). `options` are the flags of `nepal-loop train`: `epochs`, `budget` (minutes), `hold_out`, `threads`,
    `seed`, `init` (fine-tuning), `posterior`, `committee`, `device`, `energy_key` and so on. `progress` is called
    with each `nepal.Progress`.

    >>> settings = {"type": [1, "Si"], "cutoff": [4.5, 4], "n_max": [2, 2], "basis_size": [4, 4],
    ...             "l_max": [2, 0, 0], "neuron": 4}
    >>> made = nepal.train(settings, structures, epochs=3, threads=1, seed=1)
    >>> made.model.elements, len(made.history["loss"])
    (('Si',), 4)
    """
    if out is None:
        out = os.path.join(tempfile.mkdtemp(prefix="nepal-train-"), "nep.txt")
    path = os.path.abspath(os.fsdecode(out))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
        said = {
            "config": _nep_in(settings, folder),
            "train": as_file(structures, folder, "train.xyz"),
            "test": None if test is None else as_file(test, folder, "test.xyz"),
            "out": path,
            **options,
        }
        return Training(path, program.command("train", progress=progress, **said))


def _nep_in(settings: Settings, folder: str) -> str:
    if isinstance(settings, Mapping):
        lines = []
        for key, value in settings.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            lines.append(" ".join([key, *(str(int(v) if isinstance(v, bool) else v) for v in values)]) + "\n")
        content = "".join(lines)
    else:
        content = os.fsdecode(settings)
        if "\n" not in content:
            return content
    path = os.path.join(folder, "nep.in")
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    return path


def _ground(model: Model | Path, active_set: ActiveSet | Path | None, folder: str) -> dict[str, str]:
    """Model and active set as files."""
    said = {}
    for name, given in (("model", model), ("active_set", active_set)):
        if given is None:
            continue
        if isinstance(given, (Model, ActiveSet)):
            given_path = os.path.join(folder, name)
            given.save(given_path)
            said[name] = given_path
        else:
            said[name] = os.fsdecode(given)
    return said


class Selection(Table):
    """What `nepal.select` chose, best first: columns `frame` (index), `atom`, `grade` and `score`; `structures` are
    the chosen ones."""

    def __init__(self, columns: Mapping[str, Any], structures: list[Any]) -> None:
        super().__init__(columns)
        self.structures = structures


def select(
    model: Model | Path,
    active_set: ActiveSet | Path,
    structures: Structures,
    *,
    progress: OnProgress = None,
    **options: Any,
) -> Selection:
    """Chooses the structures that teach a model most.

    `options` are the flags of `nepal-loop select`: `max` (20), `threshold` (1.0), `method` ("d-optimal", "grade",
    "maxvol", "farthest-point", "random", ...), `seed`.

    >>> chosen = nepal.select(model, active_set, candidates, max=1)
    >>> len(chosen.structures), float(chosen["grade"][0]) > 1
    (1, True)
    """
    given = frames(structures)
    with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
        said = {
            **_ground(model, active_set, folder),
            "structures": as_file(given, folder, "candidates.xyz"),
            "out": os.path.join(folder, "chosen.xyz"),
            **options,
        }
        chosen = program.command("select", progress=progress, **said)["chosen"]
    for row in chosen:
        row["frame"] -= 1
    table = Table.of(chosen, ("frame", "atom", "grade", "score"))
    return Selection(table, [given[row["frame"]] for row in chosen])


def fragments(
    model: Model | Path,
    active_set: ActiveSet | Path,
    structures: Structures,
    *,
    progress: OnProgress = None,
    **options: Any,
) -> list[Any]:
    """Cuts small periodic fragments around all atoms that leave known ground, as ASE atoms (needs ASE).

    `options` are the flags of `nepal-loop fragment`: `threshold` (1.5), `max_atoms` (300), `mode`, `charges`,
    `keep_molecules`, `seed` and so on. `nepal.fragment` cuts one around an atom of your choice.

    >>> found = nepal.fragments(model, active_set, candidates[:1], threshold=0.0, max_per_frame=1, no_optimise=True)
    >>> sorted(set(found[0].symbols))
    ['Si']
    """
    with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
        out = os.path.join(folder, "fragments.xyz")
        said = {
            **_ground(model, active_set, folder),
            "structures": as_file(structures, folder, "parents.xyz"),
            "out": out,
            **options,
        }
        program.command("fragment", progress=progress, **said)
        return read(out)


def audit(
    model: Model | Path,
    structures: Structures,
    dump: Structures,
    *,
    out: Path | None = None,
    progress: OnProgress = None,
    **options: Any,
) -> dict[str, Any]:
    """Tells how far grades, posterior and committee can be trusted for a model, its training data and a dump.

    The numbers are those of `nepal-loop audit --json`; `out` is a page (HTML) to write. `options` are the other
    flags: `members`, `minutes`, `committee`, `markdown`, `energy_key` and so on.

    >>> found = nepal.audit(model, structures, candidates, progress=lambda event: None)
    >>> "notes" in found
    True
    """
    with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
        said = {
            **_ground(model, None, folder),
            "train": as_file(structures, folder, "train.xyz"),
            "dump": as_file(dump, folder, "dump.xyz"),
            "out": os.path.join(folder, "audit.html") if out is None else os.fsdecode(out),
            **options,
        }
        return program.command("audit", progress=progress, **said)
