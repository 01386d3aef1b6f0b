#!/usr/bin/env bash
# Packs what a run on a machine with a GPU needs into a folder: `bash benches/gpu/pack.sh FOLDER [CAPABILITY]`.
# There, `bash run.sh` checks and measures in two parts of 8 and 3 minutes and leaves what it found beside
# itself. With a compute capability (90 for an H100 or H200) the kernels are compiled here, by the
# NVRTC that is found here (NEPAL_NVRTC), and the machine needs nothing but its driver; without one it
# needs NVRTC.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: pack.sh FOLDER [CAPABILITY]}" && cd "$1" && pwd)
capability=${2:-}
cd "$(dirname "$0")/../.."
NEPAL_COMMIT=$(git rev-parse --short=12 HEAD)
export NEPAL_COMMIT
# PROFILE=dev for a trial.
profile=${PROFILE:-release}
built() {
    cargo "$@" --locked --profile "$profile" --message-format=json |
        python3 -c 'import json, sys
for line in sys.stdin:
    found = json.loads(line) if line.startswith("{") else {}
    if found.get("target", {}).get("name") == sys.argv[1] and found.get("executable"): print(found["executable"])' "${@: -1}" | tail -1
}
cp "$(built build --bench gpu)" "$folder/gpu"
cp "$(built test --no-run --test device)" "$folder/checks"
strip "$folder/gpu" "$folder/checks" 2>/dev/null || true
rm -rf "$folder/data"
cp -rL tests/data "$folder/data"
cp benches/gpu/run.sh "$folder/run.sh"
if [[ -n $capability ]]; then
    if [[ -z ${NEPAL_NVRTC:-} ]]; then
        # That of the tests, which .ci/setup installs.
        found=$(compgen -G "target/python/lib/python*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so*" | head -1 || true)
        [[ -z $found ]] || export NEPAL_NVRTC=$PWD/$found
    fi
    NEPAL_KERNEL_CACHE="$folder/kernels" "$folder/gpu" --compile "$capability" --models "$folder/data" --sets "$folder/sets"
    tar -C "$folder" -czf "$folder/kernels.tgz" kernels
    rm -r "$folder/kernels"
fi
du -sm "$folder" | awk '{ print $1 " MB in " $2; exit $1 > 60 }'
