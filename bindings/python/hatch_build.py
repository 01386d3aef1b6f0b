"""Builds the wheel: library and program by cargo, the version from Cargo.toml, one wheel for every Python 3.

`NEPAL_LIBRARY` and `NEPAL_PROGRAM` name a libnepal.so and a nepal-loop that are built already and are
taken as they are.
"""

import os
import pathlib
import re
import subprocess
import sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = pathlib.Path(__file__).resolve().parents[2]


def version():
    """The version of the workspace, which is told in one place."""
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.*)"', cargo, re.M)[1]


def built(variable, name, *arguments):
    """A file that cargo makes, unless a variable of the environment names it."""
    chosen = os.environ.get(variable)
    if chosen:
        return str(pathlib.Path(chosen).resolve(strict=True))
    # As the other bindings build it: what one has built serves all.
    command = ["cargo", "build", "--release", *arguments]
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except FileNotFoundError:
        raise SystemExit(
            f"nepal-nep: there is no cargo: install Rust (https://rustup.rs), or set {variable} to a "
            f"{name} that is built already"
        ) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"nepal-nep: {' '.join(command)} failed, see above") from error
    return str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / name)


def library():
    return built("NEPAL_LIBRARY", "libnepal.so", "--lib", "--locked", "-p", "nepal")


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version_, build_data):
        if self.target_name != "wheel":
            raise SystemExit("build a wheel: a source archive would lack the Rust sources")
        program = built("NEPAL_PROGRAM", "nepal-loop", "--bin", "nepal-loop", "--locked", "-p", "nepal-loop")
        # Under its soname: a program that is linked with it looks for that. A wheel has no links.
        soname = "libnepal.so." + ".".join(version().split(".")[:2])
        build_data["force_include"] |= {
            library(): f"nepal/{soname}",
            str(ROOT / "include" / "nepal.h"): "nepal/include/nepal.h",
            str(ROOT / "bindings" / "cpp" / "nepal.hpp"): "nepal/include/nepal.hpp",
        }
        build_data["shared_scripts"][program] = "nepal-loop"
        build_data["pure_python"] = False
        # ctypes needs no particular Python; the C library decides where the wheel runs.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata):
        metadata["version"] = version()
        metadata["optional-dependencies"] = {
            "ase": ["ase>=3.23"],
            "lammps": [f"nepal-nep-lammps=={version()}"],
            "test": ["ase>=3.23", "phonopy", "pytest"],
        }
