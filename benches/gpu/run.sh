#!/usr/bin/env bash
# Checks and measures on a GPU: `bash run.sh 1` within 8 minutes, `bash run.sh 2` within 3, `bash run.sh` both. What it
# needs lies beside it (pack.sh). Each item has its own limit and a line in items.txt as soon as it is over, what it
# printed in a file of its own; nothing that fails or hangs keeps the rest from being done, and nothing is begun that
# the part has no time for. Status: 0, 1 if something was wrong, 3 without a device.
# QUICK=1 is a trial with few atoms, on stand-ins too; LIMIT is then the limit of all items, in seconds.
cd "$(dirname "$0")" || exit 2
export NEPAL_KERNEL_CACHE=${NEPAL_KERNEL_CACHE-$PWD/kernels} NEPAL_TEST_DATA=$PWD/data NEPAL_TEST_DEVICE=1 RUST_BACKTRACE=0
if [[ -e kernels.tgz && ! -d kernels ]]; then tar xzf kernels.tgz; fi
quick=() sizes=10000,100000,1000000 largest=10000000
if [[ -n ${QUICK:-} ]]; then quick=(--quick) sizes=200 largest=500; fi
wrong=0

# item SECONDS NAME COMMAND...: into NAME.txt, with a line in items.txt.
item() {
    local limit=${LIMIT:-$1} name=$2 left=$((end - SECONDS)) started=$SECONDS status said
    shift 2
    if ((left < 10)); then
        echo "NOT BEGUN $name: no time left" | tee -a items.txt
        return
    fi
    timeout -k 5 "$((limit < left ? limit : left))" "$@" </dev/null >"$name.txt" 2>&1
    status=$?
    case $status in
    0) said=ok ;;
    124 | 137) said="NOT FINISHED" ;;
    *) said=WRONG wrong=1 ;;
    esac
    echo "$said $name: status $status, $((SECONDS - started)) s" | tee -a items.txt
    grep -hE "^(BAD|test .*FAILED)|differs from" "$name.txt" | cut -c1-300
}

# tool SECONDS NAME PROGRAM ARGUMENT...: an item with a program that the machine may lack.
tool() {
    if command -v "$3" >/dev/null; then item "$@"; else echo "NOT HERE $2: $3" | tee -a items.txt; fi
}

gpu() { echo ./gpu --out . --sets sets "${quick[@]}" "$@"; }

first() {
    end=$((SECONDS + 480))
    item 30 device ./gpu --device
    if [[ $(tail -1 items.txt) == *"status 3,"* ]]; then exit 3; fi
    nvidia-smi >machine.txt 2>&1
    lscpu >>machine.txt 2>&1
    item 90 arrays $(gpu --arrays check --models data)
    item 90 times $(gpu --arrays time --sizes $sizes)
    local part
    for part in variants motion grades threshold volume; do
        item 40 "tests-$part" ./checks --test-threads=4 "$part::"
    done
    item 60 training $(gpu --only training)
    item 60 millions ./checks --ignored --nocapture threshold::millions
}

second() {
    end=$((SECONDS + 180))
    local one=(./gpu --sets sets --quick --systems PbTe,carbon --arrays check)
    item 60 largest $(gpu --arrays time --sizes $largest)
    tool 40 memcheck compute-sanitizer --error-exitcode 9 --tool memcheck "${one[@]}"
    tool 40 racecheck compute-sanitizer --error-exitcode 9 --tool racecheck "${one[@]}"
    tool 40 profile ncu --target-processes all --kernel-name 'regex:nepal_(partial|forces|descriptor|fill)' \
        --launch-skip 40 --launch-count 8 --set full ./gpu --sets sets --quick --systems PbTe --arrays time --sizes 1000000
}

case ${1:-both} in
1) first ;;
2) second ;;
both) first && second ;;
*)
    echo "usage: run.sh [1|2], not $1" >&2
    exit 2
    ;;
esac
echo "results: $PWD/items.txt and the files that it names; status $wrong"
exit $wrong
