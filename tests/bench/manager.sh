#!/bin/bash
# A manager of ours and a stock one under the same load: AGENTS model agents (bench_agentsim) join over
# TLS and keep their sessions; SERVICES services of REPLICAS tasks each are made through the API; an
# update of a service, the death of a node, and doing nothing at all. Each has the machine to itself,
# one after the other. CPU and memory are of all the daemon's processes.
#
#   FORM=small    200 agents, 100 services, 2,000 tasks, beside dockerd (the default)
#   FORM=medium   1,000 agents, 100 services, 10,000 tasks, alone
#   FORM=large    10,000 agents, 1,000 services, 100,000 tasks, alone
#   FORM=growth   medium, then large, and how much dearer one agent and one task become
#
# AGENTS, ALONE, SERVICES, REPLICAS and PEER (dockerd, none) change any of them. Prints a table, and
# one JSON line per row.
#
# Every agent has a TLS session with a certificate of its own. The first ALONE join as agents do, with
# three full handshakes: join_cpu is theirs. The rest of a large crowd gets its certificates over a few
# connections that stay open, and all with one key, which spares both sides most of the work with curves
# (crowd_cpu): what is measured afterwards is the same, and 10,000 are there in minutes. Nobody may be
# missed while the processors are busy with joins, so a crowd of more than 1,000 beats seldom until all
# are up, and every 5 s from then on.
set -euo pipefail
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker curl jq
FORM=${FORM:-small}
case $FORM in
small) form=(200 100 20 dockerd 200) ;;
medium) form=(1000 100 100 none 100) ;;
large) form=(10000 1000 100 none 100) ;;
growth)
  lines=$(mktemp)
  for FORM in medium large; do
    step "form $FORM"
    FORM=$FORM "$0" | tee >(cat >&2) | grep '^{' | sed "s/^{/{\"form\":\"$FORM\",/" >>"$lines"
  done
  # 1 is linear growth: the row's figure per agent, task or whole stays as it is, or grows tenfold.
  jq -sr 'group_by(.case)[] | select(length == 2) | sort_by(.form == "large") |
    (if .[0].case | IN("join", "create", "assigned", "running") then 10 else 1 end) as $fair |
    {bench: "manager", case: ("growth_" + .[0].case), unit: "x per agent or task, 1,000 to 10,000 agents",
      skep: (.[1].skep / ([.[0].skep, 0.001] | max) / $fair * 100 | round / 100)} | tojson' "$lines"
  rm -f "$lines"
  exit
  ;;
*) fail "no form $FORM" ;;
esac
AGENTS=${AGENTS:-${form[0]}}
SERVICES=${SERVICES:-${form[1]}}
REPLICAS=${REPLICAS:-${form[2]}}
PEER=${PEER:-${form[3]}}
ALONE=${ALONE:-$((AGENTS < form[4] ? AGENTS : form[4]))}
IDLE_SECONDS=${IDLE_SECONDS:-10}
JOIN_HEARTBEAT=${JOIN_HEARTBEAT:-$((AGENTS > 1000 ? 30 : 5))}
# A manager lets only so many connections of one address in, and only so fast.
AGENTS_PER_ADDRESS=100
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
# smaps WHO FIELD: KiB. All that is theirs; and of it what no file stands behind, as it does behind the store.
smaps() { local p sum=0; for p in $(processes "$1"); do sum=$((sum + $(awk -v f="$2:" '$1 == f { print $2 }' "/proc/$p/smaps_rollup"))); done; echo $sum; }
pss_kb() { smaps "$1" Pss; }
heap_kb() { smaps "$1" Anonymous; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
keep() { echo "$3" >"$figures/$1.$2"; }

# ---- the agents -------------------------------------------------------------------------------

# The host's own addresses that agents dial: what is sent to one of them comes from it as well.
addresses()
{
  local host=$1 i count=$(((AGENTS + AGENTS_PER_ADDRESS - 1) / AGENTS_PER_ADDRESS)) list=
  for ((i = 1; i <= count; i++)); do
    on "$host" ip addr replace "10.78.0.$i/32" dev lo
    list+=${list:+,}10.78.0.$i:2377
  done
  echo "$list"
}
agents_start()
{
  local host; host=$(host_for "$1")
  : >"$LAB/$1.out"
  mkfifo "$LAB/$1.in"
  exec {agents_in}<>"$LAB/$1.in"
  on "$host" "$SKEP_BUILD/tests/bench/manager/bench_agentsim" "$(addresses "$host")" \
    "$(subject "$1" swarm join-token --quiet worker)" "$AGENTS" "$ALONE" <"$LAB/$1.in" >"$LAB/$1.out" 2>"$LAB/$host/agents.log" &
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
agents_live() { kill -0 "$agents_pid" 2>/dev/null || fail "the agents ended: $(tail -n 3 "$LAB/$(host_for "$1")/agents.log")"; }
# heard WHO LINE: waits until the agents told it.
heard() { until grep -q "^$2\$" "$LAB/$1.out"; do agents_live "$1"; sleep 0.05; done; }
all() { (($(ask "$2" stats | field "$1") == TASKS)); }
# await_all FIELD WHO: waits until as many tasks are assigned, or running.
await_all() { until all "$@"; do agents_live "$2"; sleep 0.1; done; }

# make_services WHO NAME REPLICAS
make_services()
{
  local i
  for ((i = 1; i <= SERVICES; i++)); do
    printf '%s\n' next fail silent show-error "unix-socket = $(socket_of "$1")" 'output = /dev/null' \
      'url = http://d/v1.41/services/create' 'header = "Content-Type: application/json"'
    printf 'data = "{\\"Name\\":\\"%s-%s\\",\\"TaskTemplate\\":{\\"ContainerSpec\\":{\\"Image\\":\\"busybox:1\\"}},\\"Mode\\":{\\"Replicated\\":{\\"Replicas\\":%s}},\\"UpdateConfig\\":{\\"Parallelism\\":0}}"\n' \
      "$2" "$i" "$3"
  done | tail -n +2 | curl --config -
}
drop_services()
{
  local i
  for ((i = 1; i <= SERVICES; i++)); do
    printf '%s\n' next fail silent show-error "unix-socket = $(socket_of "$1")" 'output = /dev/null' \
      'request = DELETE' "url = http://d/v1.41/services/$2-$i"
  done | tail -n +2 | curl --config -
}
# per FIGURE BEFORE COUNT: how much more one of so many made it.
per() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { print (a - b) / n }'; }

# When its object was written last, in ms.
node_written() { date -d "$(api "$1" "nodes/$2" | jq -r .UpdatedAt)" +%s%3N; }
node_is_down() { [[ $(api "$1" "nodes/$2" | jq -r .Status.State) == down ]]; }

run()
{
  local who=$1 host begin cpu memory heap line id down
  host=$(host_for "$who")
  subject_start "$who"
  subject "$who" swarm init --advertise-addr "$(ip_of "$host")" >/dev/null
  subject "$who" node update --availability drain "$(subject "$who" node ls --quiet)" >/dev/null
  subject "$who" swarm update --dispatcher-heartbeat "${JOIN_HEARTBEAT}s" >/dev/null
  sleep 1 # what starting up costs is over
  cpu=$(cpu_ms "$who")
  sleep "$IDLE_SECONDS" # what doing nothing costs is measured over time
  keep idle "$who" "$(per "$(cpu_ms "$who")" "$cpu" $((10 * IDLE_SECONDS)))"
  keep memory "$who" "$(pss_kb "$who")"

  memory=$(pss_kb "$who")
  make_services "$who" empty 0
  keep service_memory "$who" "$(per "$(pss_kb "$who")" "$memory" "$SERVICES")"
  drop_services "$who" empty

  memory=$(pss_kb "$who") heap=$(heap_kb "$who") cpu=$(cpu_ms "$who") begin=$(now_ms)
  agents_start "$who"
  heard "$who" alone
  keep join_cpu "$who" "$(per "$(cpu_ms "$who")" "$cpu" "$ALONE")"
  cpu=$(cpu_ms "$who")
  heard "$who" up
  keep join "$who" $(($(now_ms) - begin))
  sleep 4 # what the handshakes took goes back within seconds
  ((ALONE == AGENTS)) || keep crowd_cpu "$who" "$(per "$(cpu_ms "$who")" "$cpu" $((AGENTS - ALONE)))"
  keep agent_memory "$who" "$(per "$(pss_kb "$who")" "$memory" "$AGENTS")"
  keep agent_heap "$who" "$(per "$(heap_kb "$who")" "$heap" "$AGENTS")"

  if ((JOIN_HEARTBEAT != 5)); then
    subject "$who" swarm update --dispatcher-heartbeat 5s >/dev/null
    sleep $((JOIN_HEARTBEAT + 5)) # each is told at its next beat
  fi
  cpu=$(cpu_ms "$who")
  sleep "$IDLE_SECONDS"
  keep idle_cpu "$who" "$(per $(($(cpu_ms "$who") * 1000)) $((cpu * 1000)) $((AGENTS * IDLE_SECONDS)))"

  memory=$(pss_kb "$who") cpu=$(cpu_ms "$who") begin=$(now_ms)
  make_services "$who" load "$REPLICAS"
  keep create "$who" $(($(now_ms) - begin))
  await_all tasks "$who"
  keep assigned "$who" $(($(ask "$who" stats | field last_ms) - begin))
  await_all running "$who"
  keep running "$who" $(($(now_ms) - begin))
  keep task_cpu "$who" "$(per "$(cpu_ms "$who")" "$cpu" "$TASKS")"
  keep task_memory "$who" "$(per "$(pss_kb "$who")" "$memory" "$TASKS")"

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
  down=$(node_written "$who" "$id")
  await_all running "$who"
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
    # Less than the clock tells is no figure to divide by.
    ratio=$(awk -v a="$ours" -v b="$theirs" 'BEGIN { if (a > 0) printf "%.2f", b / a; else print "null" }')
  fi
  printf '%-14s %-26s %10.4g %10s %8s  %s\n' "$1" "$2" "$ours" "$theirs" "$ratio" "$3"
  printf '{"bench":"manager","case":"%s","unit":"%s","skep":%s,"peer":%s,"peer_name":"dockerd","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$ours" "$theirs" "$ratio" "${3:-null}" >>"$figures/json"
}
printf '%-14s %-26s %10s %10s %8s  %s\n' case unit skep dockerd ratio aim
row idle "% of a core, no agents" ''
row memory "KiB, no agents" ''
row service_memory "KiB per service, no tasks" ''
row join "ms until all are up" ''
row join_cpu "ms of CPU per agent alone" ''
[[ ! -e $figures/crowd_cpu.skep ]] || row crowd_cpu "ms of CPU per agent after" ''
row agent_memory "KiB per agent" 25
row agent_heap "KiB per agent, no files" 25
row idle_cpu "us of CPU per agent and s" ''
row create "ms until all are made" ''
row assigned "ms until all are assigned" "$([[ $TASKS != 100000 ]] || echo 30000)"
row running "ms until all run" ''
row task_cpu "ms of CPU per task" ''
row task_memory "KiB per task" ''
row update "ms until replaced" ''
row replaced "ms from down to replaced" 300
cat "$figures/json"
