"""The wheel carries the library and works where nothing else of nepal is."""

import os
import subprocess
import sys
import zipfile

import pytest
from conftest import EXAMPLES, ROOT

pytest.importorskip("hatchling", reason="needs hatchling")


@pytest.mark.skipif("NEPAL_LIBRARY" not in os.environ, reason="would build the library anew")
def test_a_wheel_is_built_installed_and_used(tmp_path):
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheels")]
    subprocess.run([*pip, *build, str(ROOT / "bindings" / "python")], check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert wheel.name.startswith("nepal-") and "-py3-none-" in wheel.name
    assert "any" not in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "nepal/libnepal.so" in names and "nepal/py.typed" in names
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("NEPAL_LIBRARY",)}
    environment["PYTHONPATH"] = str(site)
    program = ROOT / "examples" / "python" / "energy_forces.py"
    done = subprocess.run(
        [sys.executable, str(program), str(EXAMPLES)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )
    assert done.stdout.startswith("energy: -31.470956 eV\n")
    where = subprocess.run(
        [sys.executable, "-c", "import nepal._library as l; print(l.lib._name)"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )
    assert where.stdout.strip().startswith(str(site))


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
