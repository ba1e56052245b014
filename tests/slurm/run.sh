#!/bin/bash
# Start a Slurm of one node in a temporary folder, train four smoke recipes on it as one array job,
# tell one of them in the middle to make room, and see all four finish.
#
# Needs Debian's slurm-wlm and munge, and root. Not a part of `make test`. Usage:
#
#     tests/slurm/run.sh [PYTHON]        (default: .venv/bin/python)
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "${1:-.venv/bin/python}")
patience=900 # seconds
folder=$(mktemp -d)
host=$(hostname -s)

stop() {
    local daemon pid
    if [ "${SLURM_CONF:-}" ]; then scancel --quiet --user="$(id -un)" || true; sleep 2; fi
    for daemon in slurmd slurmctld munged; do
        pid=$(cat "$folder/$daemon.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
    if [ "${keep:-}" ]; then echo "kept: $folder"; else rm -rf "$folder"; fi
}
trap stop EXIT
fail() { keep=1; echo "FAILED: $*" >&2; tail -n 20 "$folder"/*.log >&2; exit 1; }

start_slurm() {
    chmod 755 "$folder"
    dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
    chmod 400 "$folder/munge.key"
    # A temporary folder is no place for a real key: --force says that we know.
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --seed-file="$folder/munge.seed" \
        --log-file="$folder/munged.log" 2>/dev/null
    cat >"$folder/slurm.conf" <<CONF
ClusterName=gahb
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf"
    mkdir "$folder/state" "$folder/spool"
    export SLURM_CONF="$folder/slurm.conf"
    slurmctld
    slurmd
    wait_until "the node is idle" sh -c "sinfo --noheader --format=%T | grep -q idle"
}

wait_until() { # WHAT COMMAND...
    local what=$1 begun=$SECONDS
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS - begun < patience)) || fail "waited $patience seconds until $what"
        sleep 0.2
    done
    echo "[$SECONDS s] $what"
}

count() { "$python" -m gahb status "$pattern" | awk -v state="$1" '$2 == state' | wc -l; }
all_trained() {
    [ "$(count failed)" = 0 ] || fail "a job failed: $("$python" -m gahb status "$pattern")"
    [ "$(count trained)" = 4 ]
}

start_slurm
export GAHB_EDITION=smoke GAHB_ARTIFACTS="$folder/artifacts" GAHB_CACHE="$folder/cache"
export OMP_NUM_THREADS=1 TQDM_DISABLE=1
pattern='calpha[1-4]-unet-n100-s1'

"$python" -m gahb sweep "$pattern" --cluster slurm --jobs 2 --cpus 1 | tee "$folder/submitted.log"
first=$(awk 'NR == 1 { print $NF }' "$folder/submitted.log")
wait_until "the first training has a checkpoint" \
    test -f "$GAHB_ARTIFACTS/smoke/calpha1-unet-n100-s1/checkpoint.pt"
# It would try again and again to tell the job that has just left.
timeout 10 scancel --signal=USR1 "$first" || true
wait_until "the first job is queued again" \
    sh -c "scontrol show job $first | grep -q Restarts=1"
"$python" -m gahb status "$pattern"
# Slurm itself lets a job that was queued again wait for two minutes.
wait_until "all four are trained" all_trained
"$python" -m gahb status "$pattern"
grep --no-filename -E "Caught|Requeued|Starting with|completed" "$GAHB_ARTIFACTS/smoke/jobs/${first}"_0_log.out
echo "PASSED in $SECONDS seconds"
