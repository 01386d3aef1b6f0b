#!/bin/sh
# Stands for HyperQueue's `hq`: runs tasks as they are submitted, and fails on cue. Below $FAKE_HQ: `down` (it does
# not answer), `fate` (line by line the errors of the first submission's tasks), `calls`.
shift 2 # --output-mode json
[ "$1" = --server-dir ] && shift 2
echo "$*" >>"$FAKE_HQ/calls"
[ ! -e "$FAKE_HQ/down" ] || { echo "No running instance of HQ found" >&2; exit 1; }
case "$1 $2" in
"submit --name")
    id=$(($(ls "$FAKE_HQ" | grep -c '^job-') + 1))
    job=$FAKE_HQ/job-$id
    mkdir "$job"
    echo "$3" >"$job/name"
    count=${5#1-}
    while [ "$1" != -- ]; do shift; done
    shift
    for task in $(seq 1 "$count"); do
        error=$(sed -n "${task}p" "$FAKE_HQ/fate" 2>/dev/null)
        if [ -z "$error" ]; then
            HQ_TASK_ID=$task "$@" || error="Program terminated with exit code $?."
        fi
        printf '%s\n' "$error" >>"$job/errors"
    done
    rm -f "$FAKE_HQ/fate"
    echo "{\"id\": $id}"
    ;;
"job list")
    comma=""
    echo "["
    for job in "$FAKE_HQ"/job-*; do
        [ -d "$job" ] || continue
        failed=$(grep -c . "$job/errors")
        done=$(($(wc -l <"$job/errors") - failed))
        echo "$comma{\"id\": ${job##*-}, \"name\": \"$(cat "$job/name")\", \"task_count\": $((failed + done)), \"task_stats\":
            {\"canceled\": 0, \"failed\": $failed, \"finished\": $done, \"running\": 0, \"waiting\": 0}}"
        comma=,
    done
    echo "]"
    ;;
"task list")
    first=""
    echo "{"
    for id in $(echo "$3" | tr , ' '); do
        echo "$first\"$id\": ["
        awk 'NF { printf "%s{\"id\": %d, \"state\": \"failed\", \"error\": \"%s\"}\n", c, NR, $0; c = "," }' "$FAKE_HQ/job-$id/errors"
        echo "]"
        first=,
    done
    echo "}"
    ;;
*) exit 2 ;;
esac
