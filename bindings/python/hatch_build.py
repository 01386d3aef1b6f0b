"""Builds the wheel: libnepal by cargo, the version from Cargo.toml, one wheel for every Python 3.

`NEPAL_LIBRARY` names a library that is built already and is taken as it is.
"""

import os
import pathlib
import re
import subprocess
import sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = pathlib.Path(__file__).resolve().parents[2]


def library():
    """The library, built if need be."""
    chosen = os.environ.get("NEPAL_LIBRARY")
    if chosen:
        return pathlib.Path(chosen).resolve(strict=True)
    # As the other bindings build it: what one has built serves all.
    command = ["cargo", "build", "--release", "--lib", "--locked", "-p", "nepal"]
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except FileNotFoundError:
        raise SystemExit(
            "nepal: there is no cargo: install Rust (https://rustup.rs), or set NEPAL_LIBRARY to a "
            "libnepal.so that is built already"
        ) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"nepal: {' '.join(command)} failed, see above") from error
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return target / "release" / "libnepal.so"


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        if self.target_name != "wheel":
            raise SystemExit("build a wheel: a source archive would lack the Rust sources")
        build_data["force_include"][str(library())] = "nepal/libnepal.so"
        build_data["pure_python"] = False
        # ctypes needs no particular Python; the C library decides where the wheel runs.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata):
        cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
        metadata["version"] = re.search(r'^version = "(.*)"', cargo, re.M)[1]
