"""Which library the package takes, and what it says to others."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT


def test_the_mirror_of_the_header_is_current():
    script = ROOT / "bindings" / "mirrors.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)


def test_another_abi_is_refused(tmp_path):
    """A library that answers with another ABI version, made by the C compiler."""
    import shutil

    if shutil.which("cc") is None:
        pytest.skip("needs cc")
    source = tmp_path / "other.c"
    source.write_text("unsigned nepal_abi_version(void) { return 99; }\n")
    library = tmp_path / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    for name, said in ((library, "has ABI version 99"), (tmp_path / "none.so", "was not found")):
        done = subprocess.run(
            [sys.executable, "-c", "import nepal"],
            env={**os.environ, "NEPAL_LIBRARY": str(name)}, capture_output=True, text=True,
        )
        assert done.returncode != 0 and said in done.stderr
