#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER=tests/fuzz/coverage.sh: counts the branches of nepal's own crates, with a stable compiler.
rustc=$1
shift
counting="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
case " $* " in
*" --crate-name build_script_build "*) exec "$rustc" "$@" ;;
*" --crate-name fuzz "* | *" --crate-type lib "*) exec "$rustc" "$@" $counting ;;
esac
# Other programs have nothing that takes the counts.
stub="${TMPDIR:-/tmp}/nepal-coverage-$$.o"
trap 'rm -f "$stub"' EXIT
echo 'void __sanitizer_cov_8bit_counters_init(void) {}' | cc -x c -c -o "$stub" -
"$rustc" "$@" "-Clink-arg=$stub"
