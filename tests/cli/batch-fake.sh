#!/bin/sh
# PBS (qsub, qstat, qdel) and LSF (bsub, bjobs, bkill) that fail on cue. Jobs run to their end as they are
# submitted, unless $FAKE_SLURM/fate has a line that is not empty: it is then told instead, `state status reason`, and the
# job is not run. qdel and bkill know no job that has ended, and say so.
set -eu
: "${FAKE_SLURM:?}"
program=$(basename "$0")
echo "$program $*" >>"$FAKE_SLURM/calls"

run() {
    number=$(($(cat "$FAKE_SLURM/last" 2>/dev/null || echo 100) + 1))
    echo "$number" >"$FAKE_SLURM/last"
    export PBS_JOBID="$number.host" LSB_JOBID="$number"
    fate=$(head -n 1 "$FAKE_SLURM/fate" 2>/dev/null || true)
    if [ -s "$FAKE_SLURM/fate" ]; then
        sed -i 1d "$FAKE_SLURM/fate"
    fi
    if [ -n "$fate" ]; then
        state=${fate%% *}
        fate=${fate#* }
        code=${fate%% *}
        reason=${fate#* }
        return
    fi
    code=0
    bash "$1" >/dev/null 2>&1 || code=$?
    state=$2
    [ $code = 0 ] || state=$3
    reason=-
}

case $program in
qsub)
    run "$1" F F
    printf 'Job Id: %s\n    Job_Name = %s\n    job_state = %s\n    Exit_status = %s\n    comment = %s\n\n' \
        "$PBS_JOBID" "$(sed -n 's/^#PBS -N //p' "$1")" "$state" "$code" "$reason" >>"$FAKE_SLURM/jobs"
    echo "$PBS_JOBID"
    ;;
bsub)
    cat >"$FAKE_SLURM/script"
    run "$FAKE_SLURM/script" DONE EXIT
    echo "$number|$state|$code|$reason|$(sed -n 's/^#BSUB -J //p' "$FAKE_SLURM/script")" >>"$FAKE_SLURM/jobs"
    echo "Job <$number> is submitted to default queue <normal>."
    ;;
qstat | bjobs) cat "$FAKE_SLURM/jobs" 2>/dev/null || true ;;
qdel)
    echo "qdel: Job has finished $1" >&2
    exit 35
    ;;
bkill)
    echo "Job <$1>: Job has already finished" >&2
    exit 255
    ;;
esac
