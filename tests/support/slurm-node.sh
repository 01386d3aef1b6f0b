#!/bin/sh
# A real Slurm of one node in a folder of its own, for tests: slurmctld, slurmd and munged from Debian's
# packages (apt-get install --no-install-recommends slurm-wlm munge), without systemd, as root.
#   slurm-node.sh start FOLDER [CPUS]     then: export SLURM_CONF=FOLDER/slurm.conf
#   slurm-node.sh stop FOLDER
set -eu
PATH=$PATH:/usr/sbin:/sbin
root=$(mkdir -p "$2" && cd "$2" && pwd)
case $1 in
start)
    cpus=${3:-2}
    host=$(hostname -s)
    memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 - 1024))
    port=$((20000 + $$ % 20000))
    mkdir -p "$root/ctld" "$root/slurmd" "$root/log" "$root/munge"
    chmod 755 "$root"
    chmod 700 "$root/munge"
    (umask 077 && head -c 1024 /dev/urandom >"$root/munge/key")
    chmod 755 "$root/munge"
    munged --key-file="$root/munge/key" --socket="$root/munge/sock" --pid-file="$root/munge/pid" \
        --log-file="$root/munge/log" --seed-file="$root/munge/seed" --force
    cat >"$root/slurm.conf" <<END
ClusterName=onenode
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$root/munge/sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$root/ctld
SlurmdSpoolDir=$root/slurmd
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,default_queue_depth=1000
MaxArraySize=10001
MaxJobCount=20000
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge=${MIN_JOB_AGE:-300}
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
    export SLURM_CONF="$root/slurm.conf"
    slurmctld
    slurmd
    for _ in $(seq 100); do
        if sinfo -h -o %T 2>/dev/null | grep -q -e idle -e mixed; then
            exit 0
        fi
        sleep 0.1
    done
    echo "slurm-node.sh: the node did not become ready; see $root/log" >&2
    exit 1
    ;;
stop)
    for file in "$root/slurmd.pid" "$root/slurmctld.pid" "$root/munge/pid"; do
        if [ -s "$file" ]; then
            pid=$(cat "$file")
            kill "$pid" 2>/dev/null || true
            # Where nobody reaps, a zombie stays: it is as good as gone.
            for _ in $(seq 50); do
                case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in "" | Z*) break ;; esac
                sleep 0.1
            done
        fi
    done
    ;;
*)
    echo "usage: slurm-node.sh start|stop FOLDER [CPUS]" >&2
    exit 2
    ;;
esac
