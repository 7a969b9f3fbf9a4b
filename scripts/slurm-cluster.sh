#!/usr/bin/env bash
# A real SLURM on one machine, for tests: two nodes, accounting, fake GPUs; no systemd needed.
#
#   scripts/slurm-cluster.sh start          install what is missing (Debian, root), bring all up
#   scripts/slurm-cluster.sh node NAME      bring one node's slurmd back after a test killed it
#   scripts/slurm-cluster.sh stop [purge]   end every daemon; purge removes the state as well
#   scripts/slurm-cluster.sh can            exit 0 if start could work here, else say why not
#
# After start:  . "$SMC_SLURM_ROOT/env.sh"
# Settings: SMC_SLURM_ROOT (/tmp/smc-bench-slurm), SMC_SLURM_PORT (17810), SMC_SLURM_CPUS (2 a node).
set -euo pipefail

root=${SMC_SLURM_ROOT:-/tmp/smc-bench-slurm}
port=${SMC_SLURM_PORT:-17810}
cpus=${SMC_SLURM_CPUS:-2}
nodes=(n1 n2)
gpus=2
etc=$root/etc log=$root/log run=$root/run socket=$root/munge/socket
host=$(hostname -s)
export SLURM_CONF=$etc/slurm.conf PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

say() { printf 'slurm-cluster: %s\n' "$*"; }
fail() {
  say "$*" >&2
  tail -n 12 "$log"/*.log 2>/dev/null >&2 || true
  exit 1
}

# A daemon is ours while the process that we noted still runs the program that we started.
runs() { # PROGRAM NAME
  local pid
  pid=$(cat "$run/$2.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

# In the foreground of a session of its own: the noted pid is the daemon's, and no pipe of a
# caller that waits for end-of-file stays open.
spawn() { # PROGRAM NAME ARGUMENTS...
  local program=$1 name=$2
  shift 2
  runs "$program" "$name" && return 0
  setsid "$program" "$@" </dev/null >>"$log/$name.log" 2>&1 8>&- &
  echo $! >"$run/$name.pid"
}

wait_for() { # SECONDS WHAT COMMAND...
  local until=$((SECONDS + $1)) what=$2
  shift 2
  while ! "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || fail "$what did not come up"
    sleep 0.2
  done
}

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

missing_packages() {
  local pair
  for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client \
    slurmdbd:slurmdbd mariadbd:mariadb-server-core my_print_defaults:mariadb-client-core; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  compgen -G "/usr/lib/*/slurm-wlm/accounting_storage_mysql.so" >/dev/null ||
    echo slurm-wlm-mysql-plugin
}

can() {
  [ -n "$(missing_packages)" ] || return 0
  command -v apt-get >/dev/null || { say "packages are missing and there is no apt-get"; return 1; }
  [ "$(id -u)" = 0 ] || { say "packages are missing and only root may install them"; return 1; }
}

install_packages() {
  local packages policy=/usr/sbin/policy-rc.d made=
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -gt 0 ] || return 0
  can >&2 || exit 1
  say "installing ${packages[*]}"
  # Debian starts services on installation unless this script answers 101.
  if [ ! -e $policy ]; then
    made=1
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
  fi
  local output
  output=$(mktemp)
  if ! { apt-get -qq -o Acquire::Retries=3 update &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
      -o Acquire::Retries=3 install --no-install-recommends "${packages[@]}"; } \
    >"$output" 2>&1 </dev/null; then
    [ -z "$made" ] || rm -f $policy
    tail -n 20 "$output" >&2
    fail "apt-get failed (see $output)"
  fi
  [ -z "$made" ] || rm -f $policy
  rm -f "$output"
}

write_accounting() {
  [ -s "$etc/password" ] || (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '+/=' >"$etc/password")
  (umask 077 && cat >"$etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 1))
SlurmUser=$(id -un)
PidFile=$run/slurmdbd.own.pid
LogFile=$log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 2))
StorageUser=slurm
StoragePass=$(cat "$etc/password")
StorageLoc=slurm_acct
CONF
  cat >"$etc/init.sql" <<SQL
CREATE DATABASE IF NOT EXISTS slurm_acct;
CREATE OR REPLACE USER slurm@'127.0.0.1' IDENTIFIED BY '$(cat "$etc/password")';
GRANT ALL ON slurm_acct.* TO slurm@'127.0.0.1';
SQL
  )
}

# Short limits everywhere, so that faults are noticed in seconds: a dead node after 10 s, a requeued
# job free again after 5 s (cred_expire), memory sampled once a second (there are no cgroups here).
write_controller() {
  cat >"$etc/slurm.conf" <<CONF
ClusterName=smcbench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool.%n
SlurmctldPidFile=$run/slurmctld.own.pid
SlurmdPidFile=$run/slurmd.%n.own.pid
SlurmctldLogFile=$log/slurmctld.log
SlurmdLogFile=$log/slurmd.%n.log
PlugStackConfig=$etc/plugstack.conf
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,default_queue_depth=1000
SlurmdParameters=config_overrides
JobRequeue=1
MaxArraySize=${SMC_SLURM_MAX_ARRAY:-1001}
ReturnToService=2
MessageTimeout=10
SlurmdTimeout=10
KillWait=5
MinJobAge=300
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 1))
AccountingStoragePass=$socket
GresTypes=gpu
AccountingStorageTRES=gres/gpu
CONF
  local i=0 name
  for name in "${nodes[@]}"; do
    i=$((i + 1))
    echo "NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 10 + i))" \
      "CPUs=$cpus RealMemory=8000 Gres=gpu:$gpus State=UNKNOWN"
  done >>"$etc/slurm.conf"
  echo "PartitionName=test Nodes=$(IFS=, && echo "${nodes[*]}") Default=YES DefaultTime=10" \
    "MaxTime=1440 DefMemPerCPU=2000 State=UP" >>"$etc/slurm.conf"
  : >"$etc/plugstack.conf"
  # CUDA_VISIBLE_DEVICES is set only where a GPU has a device file: copies of /dev/null do.
  local g
  for g in $(seq 0 $((gpus - 1))); do
    [ -c "$root/gpu/nvidia$g" ] || mknod "$root/gpu/nvidia$g" c 1 3 || : >"$root/gpu/nvidia$g"
  done
  echo "NodeName=$(IFS=, && echo "${nodes[*]}") Name=gpu File=$root/gpu/nvidia[0-$((gpus - 1))]" \
    >"$etc/gres.conf"
}

start_database() {
  if [ ! -e "$root/mysql/.made" ]; then
    rm -rf "$root/mysql"
    mkdir -p "$root/mysql"
    mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$root/mysql" --skip-test-db \
      --auth-root-authentication-method=normal >"$log/install-db.log" 2>&1 </dev/null ||
      fail "mariadb-install-db"
    touch "$root/mysql/.made"
  fi
  spawn mariadbd mariadbd --no-defaults --user="$(id -un)" --datadir="$root/mysql" \
    --bind-address=127.0.0.1 --port=$((port + 2)) --socket="$run/mysql.sock" \
    --pid-file="$run/mariadbd.own.pid" --init-file="$etc/init.sql" --skip-name-resolve \
    --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0
  wait_for 60 mariadbd listens $((port + 2))
}

node_usable() {
  case $(sinfo -h -n "$1" -o %t) in
    idle | mix | alloc) return 0 ;;
    *) scontrol update nodename="$1" state=resume && return 1 ;;
  esac
}

start_node() {
  mkdir -p "$root/spool.$1"
  spawn slurmd "slurmd.$1" -D -N "$1"
  wait_for 60 "node $1" node_usable "$1"
}

start() {
  install_packages
  mkdir -p "$etc" "$log" "$run" "$root"/{state,munge,gpu}
  chmod 755 "$root" "$etc" "$run" "$root/munge"
  chmod 700 "$log"
  exec 8>"$root/.lock"
  flock -w 120 8 || fail "another start is under way"
  if ! runs slurmctld slurmctld; then
    [ -s "$root/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$root/munge/key")
    write_accounting
    write_controller
  fi
  spawn munged munged --foreground --key-file="$root/munge/key" --socket="$socket" \
    --pid-file="$root/munge/own.pid" --seed-file="$root/munge/seed" --num-threads=10
  wait_for 20 munged munge -n -S "$socket"
  start_database
  spawn slurmdbd slurmdbd -D
  wait_for 60 slurmdbd listens $((port + 1))
  [ -n "$(sacctmgr -nP show cluster name=smcbench 2>/dev/null)" ] ||
    wait_for 30 accounting sacctmgr -i add cluster smcbench
  spawn slurmctld slurmctld -D
  wait_for 60 slurmctld scontrol ping
  local name
  for name in "${nodes[@]}"; do start_node "$name"; done
  printf 'export SLURM_CONF=%s\n' "$SLURM_CONF" >"$root/env.sh"
  say "ready: $(sinfo -V), nodes ${nodes[*]}, $root"
}

end() { # PROGRAM NAME
  runs "$1" "$2" || return 0
  local pid
  pid=$(cat "$run/$2.pid")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 150); do
    runs "$1" "$2" || break
    sleep 0.1
  done
  ! runs "$1" "$2" || kill -KILL "$pid"
  rm -f "$run/$2.pid"
}

stop() {
  # Jobs outlive their slurmd, so they go first.
  if runs slurmctld slurmctld; then
    timeout 20 bash -c 'squeue -h -o %A | sort -u | xargs -r scancel
      while [ -n "$(squeue -h -t R,CG -o %A)" ]; do sleep 0.3; done' || true
  fi
  local name
  for name in "${nodes[@]}"; do end slurmd "slurmd.$name"; done
  for name in slurmctld slurmdbd mariadbd munged; do end "$name" "$name"; done
  [ "${1:-}" != purge ] || [ ! -e "$etc/slurm.conf" ] || rm -rf "$root"
  say stopped
}

case ${1:-} in
  start) start ;;
  node) start_node "$2" ;;
  stop) stop "${2:-}" ;;
  can) can ;;
  *) sed -n '2,10p' "$0" | cut -c3- && exit 2 ;;
esac
