"""Finds the shared library, checks its ABI, and turns statuses into exceptions."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import pathlib
import platform
from typing import Any

from . import _c_api as c


class Error(RuntimeError):
    """A call failed: the text is nepal's, `status` one of the numbers `NEPAL_STATUS_*`."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status)


class InvalidArgument(Error, ValueError):
    """A value is not acceptable: an element that the model lacks, NaN, an option out of range."""


class FileError(Error, OSError):
    """The operating system refused a file operation."""


class ParseError(Error, ValueError):
    """A file does not follow its format; the text names file and line."""


class Unsupported(Error):
    """Legal, but not supported by this version or build."""


class BackendError(Error):
    """The backend is not available or failed."""


class Failed(Error):
    """A step failed, such as a fragment that cannot be made; the text says why."""


_ERRORS = {
    c.NEPAL_STATUS_INVALID_ARGUMENT: InvalidArgument,
    c.NEPAL_STATUS_IO: FileError,
    c.NEPAL_STATUS_PARSE: ParseError,
    c.NEPAL_STATUS_UNSUPPORTED: Unsupported,
    c.NEPAL_STATUS_BACKEND: BackendError,
    c.NEPAL_STATUS_FAILED: Failed,
}


def _candidates() -> list[str]:
    """Where the library may be: NEPAL_LIBRARY alone if it is set, else the wheel, then the system."""
    chosen = os.environ.get("NEPAL_LIBRARY")
    if chosen:
        return [chosen]
    here = pathlib.Path(__file__).resolve().parent
    # While the version is 0.x, the minor version is that of the ABI and of the soname.
    own = here / f"libnepal.so.0.{c.NEPAL_ABI_VERSION}"
    found = [str(own)] if own.exists() else []
    found += [own.name]
    system = ctypes.util.find_library("nepal")
    return found + ([system] if system else [])


def _load() -> Any:
    tried = []
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            tried.append(str(error))
            continue
        try:
            version = library.nepal_abi_version
        except AttributeError:
            raise ImportError(f"{name} is not a nepal library") from None
        version.restype = ctypes.c_uint32
        if version() != c.NEPAL_ABI_VERSION:
            raise ImportError(
                f"{name} has ABI version {version()}; this package needs {c.NEPAL_ABI_VERSION}"
            )
        c.declare(library)
        return library
    machine = f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}"
    raise ImportError(
        "libnepal was not found or does not fit this machine; install the wheel that fits "
        f"({machine}), or set NEPAL_LIBRARY to the path of libnepal.so (tried: "
        + "; ".join(tried) + ")"
    )


lib = _load()


def text(function: Any, *arguments: Any) -> str:
    """A text that a function gives as (buf, capacity, needed)."""
    needed = ctypes.c_size_t()
    capacity = 256
    while True:
        buffer = ctypes.create_string_buffer(capacity)
        status = function(*arguments, buffer, capacity, ctypes.byref(needed))
        if status != c.NEPAL_STATUS_BUFFER_TOO_SMALL:
            if function is not lib.nepal_last_error:
                check(status)
            return buffer.value.decode("utf-8", "replace")
        capacity = needed.value


def check(status: int) -> None:
    """Raises what a status other than success stands for."""
    if status != c.NEPAL_STATUS_SUCCESS:
        raise _ERRORS.get(status, Error)(text(lib.nepal_last_error), status)


def number(function: Any, kind: Any, *arguments: Any) -> Any:
    """A number that a function writes to its last argument."""
    value = kind()
    check(function(*arguments, ctypes.byref(value)))
    return value.value


def sized(struct: Any, **fields: Any) -> Any:
    """A struct with its size set and zero where nothing is given."""
    return struct(struct_size=ctypes.sizeof(struct), **fields)
