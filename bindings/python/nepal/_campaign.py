"""Campaigns."""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from . import _program as program
from ._files import as_file, read
from ._library import Failed, InvalidArgument
from ._model import ActiveSet, Model, Path
from ._program import OnProgress
from ._structures import Structures
from ._table import Table

#: Exit status of a campaign that ended with a budget rather than with its goal, and of a step that leaves jobs.
_NOT_CONVERGED, _WAITING = 3, 75


class Campaign:
    """A campaign of active learning: the file that `nepal-loop run` takes.

    `Campaign("my.toml")` takes a file as it is; `Campaign.create` writes one. `progress` of its methods is called with
    each `nepal.Progress`. Ctrl-C stops at a safe point, and the same call goes on from there; so it does after a
    Python that was killed, whose `nepal-loop` runs on to its end.

    >>> campaign = nepal.Campaign.create(folder / "example.toml", settings)
    >>> campaign.plan()["to_compute"], campaign.status()["running"]
    (7, False)
    """

    def __init__(self, path: Path) -> None:
        self.path = os.fsdecode(path)
        if not os.path.isfile(self.path):
            raise InvalidArgument(f"there is no campaign file {self.path!r}")

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> Campaign:
        """Writes a campaign file, which must not exist, from a dictionary of its tables.

        A function may stand for the table `label` or for the `engine` of a scenario: of a file of yours, since it is
        called in processes of its own. `label(atoms)` returns a dict of `energy`, `forces` and `stress`;
        `explore(atoms, run)` yields atoms; docs/labels.md says more. Instead of a function a table can have it, as
        `{"kind": "ase", "function": label, "arguments": {...}}`.
        """
        name = os.path.abspath(os.fsdecode(path))
        tables = dict(settings)
        if callable(tables.get("label")):
            tables["label"] = {"function": tables["label"]}
        if "function" in tables.get("label", ()):
            tables["label"] = {"kind": "ase", "python": [sys.executable], **tables["label"]}
        scenarios = []
        for scenario in tables.get("explore", ()):
            scenario, engine = dict(scenario), scenario.get("engine")
            if callable(engine):
                scenario["engine"] = {"kind": "python", "command": [sys.executable], "function": engine}
            scenarios.append(scenario)
        if scenarios:
            tables["explore"] = scenarios
        try:
            with open(name, "x", encoding="utf-8") as file:
                file.write(_toml(tables, os.path.dirname(name)))
        except FileExistsError:
            raise InvalidArgument(f"{name} exists; choose another name, or remove it first") from None
        except InvalidArgument:
            os.unlink(name)
            raise
        return cls(name)

    def run(self, *, progress: OnProgress = None, accept_changes: bool = False) -> dict[str, Any]:
        """Runs the campaign, or goes on with it, to its end: `converged`, `reason`, `rounds`, `labels`, `model`,
        `active_set`, `report`."""
        said = ["run", self.path, *(["--accept-changes"] if accept_changes else [])]
        return self._call(said, progress, (0, _NOT_CONVERGED))[1]

    def step(self, *, progress: OnProgress = None, accept_changes: bool = False) -> dict[str, Any] | None:
        """Takes it one pass further without waiting for jobs: None while jobs are out, else what `run` gives."""
        said = ["step", self.path, *(["--accept-changes"] if accept_changes else [])]
        status, found = self._call(said, progress, (0, _NOT_CONVERGED, _WAITING))
        return None if status == _WAITING else found

    def plan(self) -> dict[str, Any]:
        """What a run would label and what that may cost; nothing is computed."""
        return self._call(["run", self.path, "--dry-run"])[1]

    def status(self) -> dict[str, Any]:
        """How far it is: `running`, `ended`, `labels`, `rounds`, `rules` and so on. May be asked while it runs."""
        return self._call(["status", self.path])[1]

    @property
    def rounds(self) -> Table:
        """Each round: labels, errors on the test set, the largest grade, and what was selected."""
        rows = []
        for told in self.status()["rounds"]:
            errors = (told.get("training") or {}).get("test") or {}
            grades = [e["max_grade"] for e in told.get("explore") or () if e.get("max_grade") is not None]
            labels = told.get("labels") or {}
            rows.append({
                "round": told["round"],
                "accepted": labels.get("accepted"),
                "energy_rmse": errors.get("energy_rmse"),
                "force_rmse": errors.get("force_rmse"),
                "virial_rmse": errors.get("virial_rmse"),
                "max_grade": max(grades, default=None),
                "selected": told.get("selected"),
            })
        return Table.of(
            rows, ("round", "accepted", "energy_rmse", "force_rmse", "virial_rmse", "max_grade", "selected")
        )

    def labels(self, path: Path | None = None) -> list[Any]:
        """All labels so far as ASE atoms (needs ASE), each with where it comes from; also into a file `path`."""
        with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
            out = os.path.join(folder, "labels.xyz") if path is None else os.fsdecode(path)
            self._call(["export", self.path, "--out", out])
            return read(out)

    def label(self, structures: Structures, *, progress: OnProgress = None) -> list[Any]:
        """Structures through the campaign's reference method, as ASE atoms; rejected ones are left out."""
        with tempfile.TemporaryDirectory(prefix="nepal-") as folder:
            given = as_file(structures, folder, "structures.xyz")
            out = os.path.join(folder, "labelled.xyz")
            said = ["label", "--config", self.path, "--structures", given, "--out", out]
            self._call(said, progress)
            return read(out)

    def report(self) -> str:
        """Writes the report as far as the campaign is; the path of its page."""
        path: str = self._call(["report", self.path])[1]["report"]
        return path

    def resume(self, *scenarios: str) -> list[str]:
        """Ends the pauses of scenarios, of all unless named; gives their names."""
        names: list[str] = self._call(["resume", self.path, *scenarios])[1]["resumed"]
        return names

    def result(self) -> tuple[Model, ActiveSet]:
        """Model and active set of the end; of the newest round while there is no end."""
        folder = self.directory
        there = os.listdir(folder) if os.path.isdir(folder) else []
        for name in ["final", *sorted((n for n in there if n.startswith("round-")), reverse=True)]:
            files = [os.path.join(folder, name, file) for file in ("nep.txt", "active_set.asi")]
            if all(map(os.path.exists, files)):
                model = Model(files[0])
                return model, ActiveSet(files[1], model)
        raise Failed(f"{self.path}: there is no model yet; run the campaign")

    @property
    def directory(self) -> str:
        """The campaign's folder, as its file has it."""
        directory: str = self.status()["directory"]
        return directory

    def _call(
        self, said: list[str], progress: OnProgress = None, accept: tuple[int, ...] = (0,)
    ) -> tuple[int, dict[str, Any]]:
        status, found = program.call(said, progress, accept)
        if found is None:
            raise Failed(f"nepal-loop {said[0]} gave no result")
        return status, found

    def __repr__(self) -> str:
        return f"nepal.Campaign({self.path!r})"


def _function(function: Callable[..., Any], folder: str) -> str:
    """`FILE.py:name` of a function, as a campaign file in a folder has it."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        source = inspect.getsourcefile(function)
    except TypeError:
        source = None
    if source is None or not source.endswith(".py") or not os.path.exists(source) or not name.isidentifier():
        raise InvalidArgument(
            f"{name} has to be a function at the top of a file: it is called in processes of its own. In a notebook "
            "write the file with %%writefile and import it"
        )
    return f"{os.path.relpath(source, folder)}:{name}"


def _toml(tables: Mapping[str, Any], folder: str) -> str:
    """The text of a campaign file: plain values first, then each table."""

    def value(x: Any) -> str:
        if callable(x):
            return json.dumps(_function(x, folder))
        if isinstance(x, Mapping):
            return "{ " + ", ".join(f"{json.dumps(str(k))} = {value(v)}" for k, v in x.items() if v is not None) + " }"
        if isinstance(x, (list, tuple)) or hasattr(x, "tolist") and not hasattr(x, "item"):
            return "[" + ", ".join(value(v) for v in x) + "]"
        if hasattr(x, "tolist"):
            return value(x.tolist())
        if isinstance(x, os.PathLike):
            x = os.fspath(x)
        if isinstance(x, (str, bool, int, float)):
            # JSON's texts and numbers are TOML's.
            return json.dumps(x, ensure_ascii=False).replace("\x7f", "\\u007f")
        raise InvalidArgument(f"a campaign file cannot hold {x!r}; expected texts, numbers, lists and tables")

    def table(name: str, content: Mapping[str, Any], brackets: tuple[str, str]) -> str:
        lines = [brackets[0] + name + brackets[1]]
        lines += [f"{key} = {value(item)}" for key, item in content.items() if item is not None]
        return "\n".join(lines) + "\n"

    plain, parts = [], []
    for key, item in tables.items():
        if isinstance(item, Mapping):
            parts.append(table(key, item, ("[", "]")))
        elif isinstance(item, (list, tuple)) and item and all(isinstance(x, Mapping) for x in item):
            parts += [table(key, x, ("[[", "]]")) for x in item]
        elif item is not None:
            plain.append(f"{key} = {value(item)}\n")
    return "\n".join(["".join(plain), *parts])
