#!/bin/sh
# A Slurm that fails on cue: linked as sbatch, squeue, sacct and scancel. Jobs run to their end inside sbatch; what
# squeue tells of them, and what goes wrong, stands in files of $FAKE_SLURM:
#   down      every command fails like a controller that does not answer
#   full      sbatch refuses as a queue does that takes no more
#   wrong     sbatch refuses the request
#   mute      sbatch takes the job, and fails before it says so
#   fate      one line for each job to come: a state that squeue tells of it instead of the true one; the
#             job is then not run. A reason may follow the state: `PENDING/Reason`. `forgotten`: it is run
#             and squeue does not know it; `gone`: neither
#             `sacct:STATE`: it is not run and only sacct knows it
#   calls     written: one line a call
set -eu
: "${FAKE_SLURM:?}"
program=$(basename "$0")
echo "$program $*" >>"$FAKE_SLURM/calls"
if [ -e "$FAKE_SLURM/down" ]; then
    echo "$program: error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
fi
case $program in
sbatch)
    if [ -e "$FAKE_SLURM/full" ]; then
        echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)" >&2
        exit 1
    fi
    if [ -e "$FAKE_SLURM/wrong" ]; then
        echo "sbatch: error: invalid partition specified: nope" >&2
        exit 1
    fi
    for script; do :; done
    [ -e "$FAKE_SLURM/first" ] || cp "$script" "$FAKE_SLURM/first"
    number=$(($(cat "$FAKE_SLURM/last" 2>/dev/null || echo 100) + 1))
    echo "$number" >"$FAKE_SLURM/last"
    name=$(sed -n 's/^#SBATCH --job-name=//p' "$script")
    tasks=$(sed -n 's/^#SBATCH --array=1-//p' "$script")
    for task in $(seq "${tasks:-1}"); do
        if [ -n "$tasks" ]; then
            id=${number}_$task
            export SLURM_ARRAY_JOB_ID=$number SLURM_ARRAY_TASK_ID=$task
        else
            id=$number
            unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
        fi
        export SLURM_JOB_ID=$number
        fate=$(head -n 1 "$FAKE_SLURM/fate" 2>/dev/null || true)
        if [ -s "$FAKE_SLURM/fate" ]; then
            sed -i 1d "$FAKE_SLURM/fate"
        fi
        case $fate in
        "" | RUN | forgotten)
            code=0
            bash "$script" || code=$?
            state=COMPLETED
            [ $code = 0 ] || state=FAILED
            [ "$fate" = forgotten ] || echo "$id|$state|$((256 * code))|$name|None" >>"$FAKE_SLURM/jobs"
            ;;
        gone) ;;
        sacct:*) echo "$id|${fate#sacct:}|0:0" >>"$FAKE_SLURM/accounting" ;;
        */*) echo "$id|${fate%/*}|0|$name|${fate#*/}" >>"$FAKE_SLURM/jobs" ;;
        *) echo "$id|$fate|0|$name|None" >>"$FAKE_SLURM/jobs" ;;
        esac
    done
    if [ -e "$FAKE_SLURM/mute" ]; then
        rm "$FAKE_SLURM/mute"
        echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
        exit 1
    fi
    echo "$number"
    ;;
squeue) cat "$FAKE_SLURM/jobs" 2>/dev/null || true ;;
sacct)
    if [ -e "$FAKE_SLURM/accounting" ]; then
        exec cat "$FAKE_SLURM/accounting"
    fi
    echo "Slurm accounting storage is disabled" >&2
    exit 1
    ;;
scancel) ;;
esac
