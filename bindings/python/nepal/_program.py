"""Drives `nepal-loop`, the program that trains, audits and runs campaigns."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Union

from . import _c_api as c
from ._library import BackendError, Error, Failed, FileError, InvalidArgument, ParseError, Unsupported

#: Version of the JSON that the program writes.
SCHEMA = 1
#: Exit status after Ctrl-C.
INTERRUPTED = 130
#: The variable that names the program.
VARIABLE = "NEPAL_LOOP"

_CLASSES: dict[str, tuple[type[Error], int]] = {
    "invalid-argument": (InvalidArgument, c.NEPAL_STATUS_INVALID_ARGUMENT),
    "io": (FileError, c.NEPAL_STATUS_IO),
    "parse": (ParseError, c.NEPAL_STATUS_PARSE),
    "unsupported": (Unsupported, c.NEPAL_STATUS_UNSUPPORTED),
    "backend": (BackendError, c.NEPAL_STATUS_BACKEND),
    "failed": (Failed, c.NEPAL_STATUS_FAILED),
}


class ProgramNotFound(Error, ImportError):
    """There is no `nepal-loop`, or one of another version."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a running command tells.

    `kind` is "step" (with `round`, `step`, `cached`), "progress" (with `what`, `done`, `total`, `text`), "info" or
    "warning" (with `text`).
    """

    kind: str
    text: str = ""
    what: str = ""
    done: int = 0
    total: int = 0
    round: int = 0
    step: str = ""
    cached: bool = False

    def __str__(self) -> str:
        if self.kind == "step":
            return f"round {self.round}: {self.step}"
        counted = f"{self.what}: {self.done}/{self.total}" if self.what else ""
        return "  ".join(part for part in (counted, self.text) if part)


#: Called with each event; True prints them to standard error.
OnProgress = Union[Callable[[Progress], object], bool, None]


def find() -> str:
    """The path of `nepal-loop`: what NEPAL_LOOP names, else the one that came with this package, else the first on
    the PATH."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise ProgramNotFound(f"{VARIABLE} is {chosen!r}, which is no program that can be run")
        return found
    here = pathlib.Path(__file__).resolve().parent
    # Where pip puts the programs of a wheel depends on how it installs.
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable), *_user_scripts()]
    # With --target or --prefix they lie beside or above the package.
    folders += [str(here.parent / "bin"), *(str(up / "bin") for up in here.parents[2:5])]
    for folder in folders:
        found = shutil.which("nepal-loop", path=folder)
        if found is not None:
            return found
    found = shutil.which("nepal-loop")
    if found is None:
        raise ProgramNotFound(
            "nepal-loop was not found beside the package or on the PATH; install the wheel nepal-nep, or build it "
            f"(cargo build --release -p nepal-loop) and set {VARIABLE} to its path"
        )
    return found


def _user_scripts() -> list[str]:
    try:
        return [sysconfig.get_path("scripts", f"{os.name}_user")]
    except KeyError:
        return []


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Keyword arguments as flags: `hold_out=0.1` is `--hold-out 0.1`, True is the flag alone, None and False leave it
    out, a list is its values."""
    said: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        said.append("--" + name.replace("_", "-"))
        if isinstance(value, Mapping):
            said += [f"{key}={item}" for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            said += [_word(item) for item in value]
        elif value is not True:
            said.append(_word(value))
    return said


def _word(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def command(name: str, *positional: Any, progress: OnProgress = None, **options: Any) -> dict[str, Any]:
    """Runs any command of `nepal-loop` and gives its result, as `--output-mode json` writes it.

    Keyword arguments are the flags of `nepal-loop NAME --help` with `_` for `-`. `progress` is called with each
    `nepal.Progress`; True prints them; without it warnings become Python's. Ctrl-C asks the program to stop at a safe
    point, as in a terminal, and a second one ends it; then `KeyboardInterrupt` is raised. Raises what the program says
    as a `nepal.Error`.

    >>> nepal.command("cite")["works"][0]["key"]  # doctest: +ELLIPSIS
    '...'
    """
    _, data = call([name, *map(_word, positional), *arguments(options)], progress)
    if data is None:
        raise Failed(f"nepal-loop {name} gave no result", c.NEPAL_STATUS_FAILED)
    return data


def call(
    said: list[str], progress: OnProgress = None, accept: tuple[int, ...] = (0,)
) -> tuple[int, dict[str, Any] | None]:
    """Runs the program; the exit status, which is one of `accept`, and the data of its result."""
    program = find()
    environment = dict(os.environ)
    # What the program leaves to Python is for this one, which has what the user installed.
    environment.setdefault("NEPAL_PYTHON", sys.executable)
    try:
        # A group of its own: Ctrl-C reaches it once, from here, also in a notebook.
        child = subprocess.Popen(
            [program, "--output-mode", "json", *said],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            env=environment,
        )
    except OSError as error:
        raise ProgramNotFound(f"{program} cannot be started: {error}") from None
    results: list[str] = []
    assert child.stdout is not None and child.stderr is not None
    reader = threading.Thread(target=lambda out: results.extend(out), args=(child.stdout,), daemon=True)
    reader.start()
    interrupts = 0
    listener = _Listener(progress)
    while True:
        try:
            for line in child.stderr:
                listener.hear(line)
            status = child.wait()
            reader.join()
            break
        except KeyboardInterrupt:
            interrupts += 1
            child.send_signal(signal.SIGKILL if interrupts > 2 else signal.SIGINT)
        except BaseException:
            # What a callback raised ends the command, at a safe point if it comes to one soon. Nobody listens any more:
            # a full pipe would keep it from getting there.
            child.send_signal(signal.SIGINT)
            child.stderr.close()
            try:
                child.wait(timeout=30)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                child.kill()
                child.wait()
            reader.join()
            child.stdout.close()
            raise
    child.stderr.close()
    child.stdout.close()
    if interrupts or status == INTERRUPTED:
        raise KeyboardInterrupt("nepal-loop stopped as asked")
    data = _result(results)
    if status not in accept and not (status == 1 and data is not None and listener.error is None):
        raise listener.failure(program, said, status)
    return status, data


def _result(lines: list[str]) -> dict[str, Any] | None:
    """The data of the last line that is a result."""
    for line in reversed(lines):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and "data" in told:
            if told.get("schema") != SCHEMA:
                raise ProgramNotFound(
                    f"{find()} writes JSON of schema {told.get('schema')}; this package reads {SCHEMA}: install the "
                    f"nepal-loop that came with it, or name it in {VARIABLE}"
                )
            data: dict[str, Any] = told["data"]
            return data
    return None


class _Listener:
    """Hears what the program says on standard error."""

    def __init__(self, progress: OnProgress) -> None:
        self.progress = progress
        self.error: dict[str, Any] | None = None
        self.other: list[str] = []

    def hear(self, line: str) -> None:
        try:
            told = json.loads(line)
            kind = told["kind"]
        except (ValueError, TypeError, KeyError):
            self.other.append(line.rstrip())
            return
        if kind == "error":
            self.error = told
            return
        event = Progress(
            kind,
            text=told.get("text") or told.get("detail") or "",
            **{k: told[k] for k in ("what", "done", "total", "round", "step", "cached") if k in told},
        )
        if callable(self.progress):
            self.progress(event)
        elif self.progress:
            print(event, file=sys.stderr)
        elif kind == "warning":
            warnings.warn(event.text, stacklevel=5)

    def failure(self, program: str, said: list[str], status: int) -> Error:
        """The exception for a failed run."""
        if self.error is not None:
            kind, number = _CLASSES.get(self.error.get("class", ""), (Error, c.NEPAL_STATUS_INTERNAL))
            return kind(self.error["text"], number)
        tail = "\n".join(line for line in self.other if line)[-2000:]
        if status == 2 and "unrecognized subcommand" in tail or "--output-mode" in tail:
            return ProgramNotFound(f"{program} does not know what it was asked for; is it nepal's? It says: {tail}")
        if status == 2:
            return InvalidArgument(tail.removeprefix("error: "), c.NEPAL_STATUS_INVALID_ARGUMENT)
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return Failed(
            f"nepal-loop {said[0]} {how}" + (f"; it said last: {tail}" if tail else ""), c.NEPAL_STATUS_FAILED
        )
