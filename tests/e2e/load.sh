#!/bin/bash
# A manager with many ordinary clients at once: conversations as the docker command has them, followers
# of events and logs, readers who hardly read. Nobody is held up by others, nothing is missed, memory is
# bounded while it lasts and given back afterwards.
#
#   LOAD_SECONDS=60 LOAD_CLIENTS=100 LOAD_FOLLOWERS=200 LOAD_SERVICES=1000 LOAD_TASKS=10000 tests/e2e/load.sh
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker curl jq python3
seconds=${LOAD_SECONDS:-5}
clients=${LOAD_CLIENTS:-20}
followers=${LOAD_FOLLOWERS:-200}
services=${LOAD_SERVICES:-100}
tasks=${LOAD_TASKS:-2000}
slow=20
ulimit -n "$(ulimit -Hn)"
lab_up 1
skep_start h1
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
sock=$LAB/h1/skep.sock
pid=$(pid_of h1 skepd)
family() { echo "$pid"; { cat "/proc/$pid"/task/*/children || true; } | tr ' ' '\n' | sed '/^$/d' | sort -n; }
memory_kb() { local it; for it in $(family); do cat "/proc/$it/smaps_rollup"; done | awk '/^Pss:/ { s += $2 } END { print s }'; }
files() { { ls "/proc/$pid/fd" 2>/dev/null || true; } | wc -l; }

step "$services services, $tasks tasks"
make()
{
  printf '{"Name":"%s","TaskTemplate":{"ContainerSpec":{"Image":"busybox:lab"},"Placement":{"Constraints":' "$1"
  printf '["node.hostname==nowhere"]}},"Mode":{"Replicated":{"Replicas":%s}}}' "$2"
}
"$SKEP_BUILD/tests/bench/bench_api" "$sock" 8 "$services" POST /v1.41/services/create "$(make base-%d 0)" >/dev/null
"$SKEP_BUILD/tests/bench/bench_api" "$sock" 1 1 POST /v1.41/services/create "$(make many "$tasks")" >/dev/null
all_tasks() { (($(curl -s --unix-socket "$sock" http://d/v1.41/tasks | jq length) >= tasks)); }
eventually 60 all_tasks
family >"$LAB/family"
before_files=$(files)
before=$(memory_kb)

step "$clients clients, $followers followers and $slow slow readers for $seconds s"
mkfifo "$LAB/go"
exec {go}<>"$LAB/go"
python3 "$here/load.py" "$sock" "$seconds" "$clients" "$followers" "$slow" <"$LAB/go" >"$LAB/crowd" &
crowd=$!
half_way() { grep -q middle "$LAB/crowd" || [[ ! -d /proc/$crowd ]]; }
eventually $((seconds + 60)) half_way
during=$(memory_kb)
echo go >&"$go"
status=0
wait "$crowd" || status=$?
cat "$LAB/crowd"
[[ $status == 0 ]] || fail "the crowd complains"
# (Not each look at the children of a process shows them all.)
same_family() { family | diff "$LAB/family" -; }
eventually 60 same_family

step "memory: $before kB before, $during kB at the end of it"
((during < before + 131072)) || fail "memory grew from $before to $during kB"
few_files() { (($(files) <= before_files + 2)); }
eventually 60 few_files
given_back() { (($(memory_kb) < before + 24576)); }
eventually 60 given_back
echo "memory afterwards: $(memory_kb) kB"
