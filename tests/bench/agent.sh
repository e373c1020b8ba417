#!/bin/bash
# Two workers of one manager, ours and a stock dockerd, with the same services in turns on the same
# machine: 1, 10 and 50 tasks of a busybox image from their assignment to RUNNING, a local image whose
# registry cannot be reached, memory with and without containers, processor time of doing nothing.
# Memory is of everything a worker runs, daemon, monitors and shims, not of the containers' own
# processes; processor time is all of its host's. The time to run begins with the request to create the
# service, so the manager's part is in it; the moment of RUNNING is the one the worker reports.
#
#   MANAGER=dockerd tests/bench/agent.sh     under a stock manager
#   PEER=none COUNTS=200 tests/bench/agent.sh
#
# Prints a table, and one JSON line per row.
set -euo pipefail
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker crun conmon umoci curl jq
MANAGER=${MANAGER:-skep}
PEER=${PEER:-dockerd}
COUNTS=${COUNTS:-1 10 50}
ROUNDS=${ROUNDS:-3}
IDLE_SECONDS=${IDLE_SECONDS:-10}
ulimit -n "$(ulimit -Hn)"
lab_up 3
figures=$LAB/figures
mkdir "$figures"

# ---- the cast ---------------------------------------------------------------------------------

if [[ $MANAGER == skep ]]; then
  skep_start h1
  boss() { skep h1 "$@"; }
  boss_socket=$LAB/h1/skep.sock
else
  stock_start h1
  boss() { stock h1 "$@"; }
  boss_socket=$LAB/h1/docker.sock
fi
api() { curl -fsS --unix-socket "$boss_socket" "http://d/v1.41/$1" "${@:2}"; }
boss swarm init --advertise-addr "$(ip_of h1)" >/dev/null
boss node update --availability drain "$(boss node ls --quiet)" >/dev/null
token=$(boss swarm join-token --quiet worker)
skep_image h2
# Where it is on hosts: a file system of memory, as dockerd has it.
skep_start h2 --exec-root /run/skep
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
workers=(skep)
if [[ $PEER != none ]]; then
  workers+=(dockerd)
  stock_start h3 --log-level warn
  stock_image h3
  stock h3 swarm join --token "$token" --advertise-addr "$(ip_of h3)" "$(ip_of h1):2377" >/dev/null
fi
host_for() { if [[ $1 == skep ]]; then echo h2; else echo h3; fi; }
all_ready() { [[ $(boss node ls --format '{{.Status}}' | grep -c Ready) == $((1 + ${#workers[@]})) ]]; }
eventually 30 all_ready

# ---- looking ----------------------------------------------------------------------------------

# What a worker runs: all processes of its host outside of containers (these have process trees of
# their own) but for those that keep the host itself.
processes()
{
  local host space pid name; host=$(host_for "$1")
  space=$(readlink "/proc/$(<"$LAB/$host/host.pid")/ns/pid")
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    [[ $(readlink "/proc/$pid/ns/pid" 2>/dev/null) == "$space" ]] || continue
    name=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
    [[ $name == bash || $name == sleep || $name == nsenter ]] || echo "$pid"
  done
}
pss_kb()
{
  local pid
  for pid in $(processes "$1"); do cat "/proc/$pid/smaps_rollup" 2>/dev/null || true; done |
    awk '/^Pss:/ { sum += $2 } END { print sum }'
}
# All the processor time of its host: programs that live for a moment count too.
cpu_ms()
{
  local group
  for group in $(host_cgroups_outside "$(host_for "$1")"); do
    if [[ -e $group/cpuacct.usage ]]; then
      awk '{ print $1 / 1000000; exit }' "$group/cpuacct.usage"
      return
    elif [[ -e $group/cgroup.controllers ]]; then
      awk '$1 == "usage_usec" { print $2 / 1000 }' "$group/cpu.stat"
      return
    fi
  done
}
keep() { echo "$3" >>"$figures/$1.$2"; }
median() { sort -g "$figures/$1.$2" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# The last moment in which one of a service's tasks came to be in its state, in ms.
last_ms()
{
  api "tasks?filters=%7B%22service%22%3A%5B%22$1%22%5D%7D" | jq -r '.[].Status.Timestamp' |
    while read -r at; do date -d "$at" +%s%3N; done | sort -n | tail -1
}
states() { api "tasks?filters=%7B%22service%22%3A%5B%22$1%22%5D%7D" | jq -r '.[].Status.State' | grep -c "^$2$" || true; }
all_run() { [[ $(states "$1" running) == "$2" ]]; }
none_left() { [[ -z $(on "$(host_for "$1")" pgrep -x -f 'sleep 100000') ]]; }

# create NAME WORKER COUNT IMAGE
create()
{
  api services/create -H 'Content-Type: application/json' --data "{\"Name\":\"$1\",
    \"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"$4\",\"Command\":[\"sleep\",\"100000\"],\"StopSignal\":\"SIGKILL\"},
    \"Placement\":{\"Constraints\":[\"node.hostname==$(host_for "$2")\"]}},
    \"Mode\":{\"Replicated\":{\"Replicas\":$3}}}" >/dev/null
}

# start_tasks CASE WORKER COUNT IMAGE: the tasks run when this returns.
start_tasks()
{
  local begin end
  begin=$(date +%s%3N)
  create "$1" "$2" "$3" "$4"
  eventually 300 all_run "$1" "$3"
  end=$(last_ms "$1")
  keep "create_to_running_$3" "$2" $((end - begin))
}
stop_tasks()
{
  boss service rm "$1" >/dev/null
  eventually 120 none_left "$2"
}

# ---- measuring --------------------------------------------------------------------------------

# idle CASE WORKER: processor time over a while, and memory after it.
idle()
{
  local cpu
  cpu=$(cpu_ms "$2")
  sleep "$IDLE_SECONDS" # what doing nothing costs is measured over time
  keep "$1_memory" "$2" "$(pss_kb "$2")"
  keep "$1_cpu" "$2" "$(awk -v a="$cpu" -v b="$(cpu_ms "$2")" -v s="$IDLE_SECONDS" 'BEGIN { print (b - a) / s }')"
}

largest=${COUNTS##* }
for worker in "${workers[@]}"; do
  # The first container of all unpacks the image and fills caches: nobody's figure.
  create warm "$worker" 1 "$LAB_IMAGE"
  eventually 60 all_run warm 1
  stop_tasks warm "$worker"
done
step "doing nothing"
for worker in "${workers[@]}"; do idle idle "$worker"; done
for ((round = 1; round <= ROUNDS; round++)); do
  for count in $COUNTS; do
    step "round $round: $count tasks"
    for worker in "${workers[@]}"; do
      cpu=$(cpu_ms "$worker")
      start_tasks "load" "$worker" "$count" "$LAB_IMAGE"
      keep "start_cpu_$count" "$worker" \
        "$(awk -v a="$cpu" -v b="$(cpu_ms "$worker")" -v n="$count" 'BEGIN { print (b - a) / n }')"
      [[ $count != "$largest" || $round != 1 ]] || idle loaded "$worker"
      stop_tasks load "$worker"
    done
  done
done
for worker in "${workers[@]}"; do
  keep container_memory "$worker" "$(awk -v a="$(median idle_memory "$worker")" -v b="$(median loaded_memory "$worker")" \
    -v n="$largest" 'BEGIN { print (b - a) / n }')"
  keep rate "$worker" "$(awk -v n="$largest" -v t="$(median "create_to_running_$largest" "$worker")" 'BEGIN { print n * 1000 / t }')"
done

step "a local image whose registry nobody reaches"
far=$LAB_SUBNET.99:5000/busybox:1
for worker in "${workers[@]}"; do
  if [[ $worker == skep ]]; then skep h2 tag "$LAB_IMAGE" "$far"; else stock h3 tag "$LAB_IMAGE" "$far"; fi
  start_tasks far "$worker" 1 "$far"
  mv "$figures/create_to_running_1.$worker" "$figures/all.$worker"
  tail -n 1 "$figures/all.$worker" >"$figures/unreachable.$worker"
  head -n -1 "$figures/all.$worker" >"$figures/create_to_running_1.$worker"
  rm "$figures/all.$worker"
  stop_tasks far "$worker"
done

# row CASE UNIT AIM BETTER: the ratio says how many times better ours is.
row()
{
  local ours theirs=null ratio=null
  ours=$(median "$1" skep)
  if [[ -e $figures/$1.dockerd ]]; then
    theirs=$(median "$1" dockerd)
    ratio=$(awk -v a="$ours" -v b="$theirs" -v more="${4:-less}" 'BEGIN {
      if (more == "more") { t = a; a = b; b = t }
      if (a <= 0) a = 0.01
      printf "%.2f", b / a }')
  fi
  printf '%-24s %-22s %10.4g %10s %8s  %s\n' "$1" "$2" "$ours" "$theirs" "$ratio" "$3"
  printf '{"bench":"agent","case":"%s","unit":"%s","skep":%s,"peer":%s,"peer_name":"dockerd","manager":"%s","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$ours" "$theirs" "$MANAGER" "$ratio" "${3:-null}" >>"$figures/json"
}
printf '%-24s %-22s %10s %10s %8s  %s\n' case unit skep dockerd ratio aim
for count in $COUNTS; do
  aim=''
  [[ $count != 1 ]] || aim=100
  row "create_to_running_$count" "ms until all run" "$aim"
  row "start_cpu_$count" "ms of CPU per task" ''
done
row rate "tasks per s" 40 more
row unreachable "ms until it runs" 1000
row idle_memory "KiB" ''
row loaded_memory "KiB" ''
row container_memory "KiB per container" 300
row idle_cpu "ms of CPU per s" ''
row loaded_cpu "ms of CPU per s" ''
cat "$figures/json"
