#!/bin/bash
# A manager of ours and a stock one under the same load: AGENTS model agents (bench_agentsim) join over
# TLS and keep their sessions; SERVICES services of REPLICAS tasks each are made through the API; an
# update of all, the death of a node, and doing nothing at all. Each has the machine to itself, one
# after the other. CPU and memory are of all the daemon's processes.
#
#   AGENTS=10000 SERVICES=1000 REPLICAS=100 PEER=none tests/bench/manager.sh     the large case, alone
#
# Prints a table, and one JSON line per row.
set -euo pipefail
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker curl jq
AGENTS=${AGENTS:-200}
SERVICES=${SERVICES:-100}
REPLICAS=${REPLICAS:-20}
IDLE_SECONDS=${IDLE_SECONDS:-10}
PEER=${PEER:-dockerd}
TASKS=$((SERVICES * REPLICAS))
ulimit -n "$(ulimit -Hn)"
lab_up 2
figures=$LAB/figures
mkdir "$figures"

# ---- the two ----------------------------------------------------------------------------------

host_for() { if [[ $1 == skep ]]; then echo h1; else echo h2; fi; }
subject_start()
{
  if [[ $1 == skep ]]; then skep_start h1; else stock_start h2 --log-level warn; fi
}
subject_stop() { if [[ $1 == skep ]]; then skep_stop h1; else stock_stop h2; fi; }
subject()
{
  local who=$1; shift
  if [[ $who == skep ]]; then skep h1 "$@"; else stock h2 "$@"; fi
}
socket_of() { if [[ $1 == skep ]]; then echo "$LAB/h1/skep.sock"; else echo "$LAB/h2/docker.sock"; fi; }
api() { curl -fsS --unix-socket "$(socket_of "$1")" "http://d/v1.41/$2" "${@:3}"; }
processes() { if [[ $1 == skep ]]; then tree "$(pid_of h1 skepd)"; else tree "$(pid_of h2 dockerd)"; fi; }
tree()
{
  local child
  echo "$1"
  while read -rd ' ' child; do tree "$child"; done < <(cat "/proc/$1"/task/*/children 2>/dev/null)
}
cpu_ms() { local p sum=0; for p in $(processes "$1"); do sum=$((sum + $(awk '{ sub(/.*\) /, ""); print ($12 + $13) * 10 }' "/proc/$p/stat"))); done; echo $sum; }
pss_kb() { local p sum=0; for p in $(processes "$1"); do sum=$((sum + $(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup"))); done; echo $sum; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
keep() { echo "$3" >"$figures/$1.$2"; }

# ---- the agents -------------------------------------------------------------------------------

agents_start()
{
  local host; host=$(host_for "$1")
  mkfifo "$LAB/$1.in"
  exec {agents_in}<>"$LAB/$1.in"
  on "$host" "$SKEP_BUILD/tests/bench/manager/bench_agentsim" "$(ip_of "$host"):2377" \
    "$(subject "$1" swarm join-token --quiet worker)" "$AGENTS" <"$LAB/$1.in" >"$LAB/$1.out" 2>"$LAB/$host/agents.log" &
  agents_pid=$!
}
agents_stop() { exec {agents_in}>&-; kill "$agents_pid" 2>/dev/null || true; wait "$agents_pid" 2>/dev/null || true; rm -f "$LAB/$1.in"; }
# ask WHO COMMAND: the agents' next line.
ask()
{
  local lines; lines=$(wc -l <"$LAB/$1.out")
  echo "$2" >&"$agents_in"
  until (($(wc -l <"$LAB/$1.out") > lines)); do
    kill -0 "$agents_pid" 2>/dev/null || fail "the agents ended: $(tail -n 3 "$LAB/$(host_for "$1")/agents.log")"
    read -rt 0.005 <> <(:) || true
  done
  tail -n 1 "$LAB/$1.out"
}
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
all_up() { grep -q '^up$' "$LAB/$1.out" || { kill -0 "$agents_pid" || fail "the agents ended"; return 1; }; }
# all FIELD WHO: as many tasks are assigned, or running.
all() { (($(ask "$2" stats | field "$1") == TASKS)); }

make_services()
{
  local i
  for ((i = 1; i <= SERVICES; i++)); do
    printf '%s\n' next fail silent show-error "unix-socket = $(socket_of "$1")" 'output = /dev/null' \
      'url = http://d/v1.41/services/create' 'header = "Content-Type: application/json"'
    printf 'data = "{\\"Name\\":\\"load-%s\\",\\"TaskTemplate\\":{\\"ContainerSpec\\":{\\"Image\\":\\"busybox:1\\"}},\\"Mode\\":{\\"Replicated\\":{\\"Replicas\\":%s}},\\"UpdateConfig\\":{\\"Parallelism\\":0}}"\n' \
      "$i" "$REPLICAS"
  done | tail -n +2 | curl --config -
}

node_is_down() { [[ $(api "$1" "nodes/$2" | jq -r .Status.State) == down ]]; }

run()
{
  local who=$1 host begin cpu memory line id down
  host=$(host_for "$who")
  subject_start "$who"
  subject "$who" swarm init --advertise-addr "$(ip_of "$host")" >/dev/null
  subject "$who" node update --availability drain "$(subject "$who" node ls --quiet)" >/dev/null
  memory=$(pss_kb "$who") cpu=$(cpu_ms "$who") begin=$(now_ms)
  agents_start "$who"
  eventually 3600 all_up "$who"
  keep join "$who" $(($(now_ms) - begin))
  keep join_cpu "$who" "$(awk -v c=$(($(cpu_ms "$who") - cpu)) -v n="$AGENTS" 'BEGIN { print c / n }')"
  keep agent_memory "$who" "$(awk -v m=$(($(pss_kb "$who") - memory)) -v n="$AGENTS" 'BEGIN { print m / n }')"

  cpu=$(cpu_ms "$who")
  sleep "$IDLE_SECONDS" # what doing nothing costs is measured over time
  keep idle_cpu "$who" "$(awk -v c=$(($(cpu_ms "$who") - cpu)) -v n="$AGENTS" -v s="$IDLE_SECONDS" 'BEGIN { print c * 1000 / n / s }')"

  memory=$(pss_kb "$who") cpu=$(cpu_ms "$who") begin=$(now_ms)
  make_services "$who"
  keep create "$who" $(($(now_ms) - begin))
  eventually 3600 all tasks "$who"
  keep assigned "$who" $(($(ask "$who" stats | field last_ms) - begin))
  eventually 3600 all running "$who"
  keep running "$who" $(($(now_ms) - begin))
  keep task_cpu "$who" "$(awk -v c=$(($(cpu_ms "$who") - cpu)) -v n="$TASKS" 'BEGIN { print c / n }')"
  keep task_memory "$who" "$(awk -v m=$(($(pss_kb "$who") - memory)) -v n="$TASKS" 'BEGIN { print m / n }')"

  local spec version
  line=$(api "$who" services/load-1)
  version=$(jq .Version.Index <<<"$line")
  spec=$(jq -c '.Spec | .TaskTemplate.ForceUpdate = 1' <<<"$line")
  begin=$(now_ms)
  api "$who" "services/load-1/update?version=$version" -H 'Content-Type: application/json' --data "$spec" >/dev/null
  updated() { (($(ask "$1" stats | field last_ms) >= begin)) && all running "$1"; }
  eventually 600 updated "$who"
  keep update "$who" $(($(ask "$who" stats | field last_ms) - begin))

  line=$(ask "$who" 'kill 0')
  id=$(awk '{ print $2 }' <<<"$line")
  eventually 120 node_is_down "$who" "$id"
  down=$(now_ms)
  eventually 600 all running "$who"
  line=$(($(ask "$who" stats | field last_ms) - down))
  keep replaced "$who" $((line > 1 ? line : 1))
  agents_stop "$who"
  subject_stop "$who"
}

subjects=(skep)
[[ $PEER == none ]] || subjects+=(peer)
for who in "${subjects[@]}"; do
  step "$who: $AGENTS agents, $SERVICES services, $TASKS tasks"
  run "$who"
done

# row CASE UNIT AIM: all are better small.
row()
{
  local ours theirs=null ratio=null
  ours=$(<"$figures/$1.skep")
  if [[ -e $figures/$1.peer ]]; then
    theirs=$(<"$figures/$1.peer")
    ratio=$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.2f", b / (a > 0 ? a : 0.001) }')
  fi
  printf '%-14s %-26s %10.4g %10s %8s  %s\n' "$1" "$2" "$ours" "$theirs" "$ratio" "$3"
  printf '{"bench":"manager","case":"%s","unit":"%s","skep":%s,"peer":%s,"peer_name":"dockerd","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$ours" "$theirs" "$ratio" "${3:-null}" >>"$figures/json"
}
printf '%-14s %-26s %10s %10s %8s  %s\n' case unit skep dockerd ratio aim
row join "ms until all are up" ''
row join_cpu "ms of CPU per agent" ''
row agent_memory "KiB per agent" ''
row idle_cpu "us of CPU per agent and s" ''
row create "ms until all are made" ''
row assigned "ms until all are assigned" ''
row running "ms until all run" ''
row task_cpu "ms of CPU per task" ''
row task_memory "KiB per task" ''
row update "ms until replaced" ''
row replaced "ms from down to replaced" ''
cat "$figures/json"
