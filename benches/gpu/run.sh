#!/usr/bin/env bash
# Checks and measures on a GPU within 25 minutes; arguments are those of the program `gpu`, such as
# --sizes 10000,100000. Results: gpu.json, gpu.md, checks.txt, log.txt, written as they come. Nothing that
# fails or hangs keeps the rest from being done. Status: 0, 1 if something was wrong, 3 without a device.
cd "$(dirname "$0")" || exit 2
export NEPAL_KERNEL_CACHE=$PWD/kernels NEPAL_TEST_DATA=$PWD/data NEPAL_TEST_DEVICE=1 RUST_BACKTRACE=0
if [[ -e kernels.tgz && ! -d kernels ]]; then tar xzf kernels.tgz; fi
timeout -k 10 120 ./gpu --device
status=$?
if [[ $status == 3 ]]; then exit 3; fi
if [[ $status != 0 ]]; then
    echo "the device did not answer within two minutes (status $status); going on all the same"
fi
nvidia-smi >machine.txt 2>&1 || true
lscpu >>machine.txt 2>&1 || true

# The full list of numerics checks: a process for each part, so that a device that is lost in one is
# there for the next. Seconds a part, parts.
: >checks.txt
while read -r seconds part; do
    started=$SECONDS
    timeout -k 10 "$seconds" ./checks --test-threads=4 "$part" </dev/null >>checks.txt 2>&1
    status=$?
    if [[ $status == 124 || $status == 137 ]]; then
        echo "NOT FINISHED: $part within $seconds s" >>checks.txt
    elif [[ $status != 0 && $status != 101 ]]; then
        echo "NOT FINISHED: $part ended with status $status" >>checks.txt
    fi
    echo "$part: status $status, $((SECONDS - started)) s"
done <<'PARTS'
150 variants::
60 motion::
90 grades::
100 volume::
100 threshold::
PARTS
grep -E "^test .*FAILED|^NOT FINISHED" checks.txt

# What is left of 25 minutes, with some to spare for the last check.
minutes=$(((1500 - SECONDS) / 60 - 5))
timeout -k 10 $((60 * minutes + 60)) ./gpu --out . --checks checks.txt --minutes "$minutes" "$@" 2>&1 | tee log.txt
status=${PIPESTATUS[0]}

# Millions of vectors near a threshold, on real tensor cores.
left=$((1500 - SECONDS))
if ((left > 60)); then
    timeout -k 10 $((left - 10)) ./checks --ignored --nocapture threshold::millions >millions.txt 2>&1
    millions=$?
    if [[ $millions == 0 ]]; then
        printf '\nMillions of vectors near a threshold, on this device:\n\n' >>gpu.md
        grep '^|' millions.txt >>gpu.md
    else
        printf '\nMillions of vectors near a threshold: NOT FINISHED, status %s (millions.txt)\n' "$millions" >>gpu.md
        [[ $millions == 124 || $millions == 137 ]] || status=1
    fi
fi
echo "results: $PWD/gpu.json, $PWD/gpu.md; status $status"
exit "$status"
