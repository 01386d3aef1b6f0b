#!/usr/bin/env bash
# Packs what a run on a machine with a GPU needs into a folder: `bash benches/gpu/pack.sh FOLDER [CAPABILITY]`.
# There, `bash run.sh` checks, measures, and leaves gpu.json and gpu.md beside itself. With a compute
# capability (90 for an H100 or H200) the kernels are compiled here, by the NVRTC that is found here
# (NEPAL_NVRTC), and the machine needs nothing but its driver; without one it needs NVRTC.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: pack.sh FOLDER [CAPABILITY]}" && cd "$1" && pwd)
capability=${2:-}
cd "$(dirname "$0")/../.."
NEPAL_COMMIT=$(git rev-parse --short=12 HEAD)
export NEPAL_COMMIT
# PROFILE=dev for a trial.
built=$(cargo build --locked --profile "${PROFILE:-release}" --bench gpu --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    found = json.loads(line)
    if found.get("target", {}).get("name") == "gpu" and found.get("executable"): print(found["executable"])' | tail -1)
cp "$built" "$folder/gpu"
strip "$folder/gpu" 2>/dev/null || true
if [[ -n $capability ]]; then
    NEPAL_KERNEL_CACHE="$folder/kernels" "$folder/gpu" --compile "$capability"
fi
cat >"$folder/run.sh" <<'RUN'
#!/usr/bin/env bash
# Checks and measures; arguments are those of the program, such as --sizes 10000,100000.
cd "$(dirname "$0")" && NEPAL_KERNEL_CACHE="$PWD/kernels" exec ./gpu --out . "$@"
RUN
du -sm "$folder" | awk '{ print $1 " MB in " $2; exit $1 > 60 }'
