#!/bin/bash
# A manager under many ordinary clients, ours and a stock one in turns on the same machine: a hundred of them,
# each with a connection per question and a ping before it as the docker command has, list 1,000 services, then
# 10,000 tasks, look at one service; then conversations (create, list, inspect, update, remove) beside 200
# followers of events and logs and slow readers, as in tests/e2e/load.sh.
#
# Prints a table with the aim of each row, and all of it again as one JSON line. LOAD_SECONDS (of each part),
# LOAD_CLIENTS, LOAD_SERVICES and LOAD_TASKS make it smaller, LOAD_SECONDS=60 is the whole; PARTS names parts:
# services tasks inspect crowd.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs dockerd docker curl jq python3
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
GENERATOR=$SKEP_BUILD/tests/bench/bench_api
[[ -x $GENERATOR ]] || fail "no $GENERATOR: build first"
seconds=${LOAD_SECONDS:-15}
clients=${LOAD_CLIENTS:-100}
followers=${LOAD_FOLLOWERS:-200}
services=${LOAD_SERVICES:-1000}
tasks=${LOAD_TASKS:-10000}
PARTS=${PARTS:-services tasks inspect crowd}
MAY_REFUSE=1 # a stock manager gives up on a hundred lists of 10,000 tasks after 20 s
wanted() { [[ " $PARTS " == *" $1 "* ]]; }
ulimit -n "$(ulimit -Hn)"

lab_up 2
side_of() { case $1 in h1) echo skep ;; *) echo stock ;; esac; }
# Of a row, as bench.sh reads them: lists ten times quicker than stock's, in a tenth of the processor time.
aim_of()
{
  case $1 in
  services.p99_us | tasks.p99_us) echo '<= 0.1 x' ;;
  services.cpu_us) echo '<= 1000' ;;
  tasks.cpu_us) echo '<= 0.1 x' ;;
  *) echo - ;;
  esac
}
. "$here/../support/bench.sh"

# The most memory that the host's daemon has while the command runs, in kilobytes.
peak_of()
{
  local host=$1 job most=0 now; shift
  "$@" &
  job=$!
  while [[ -d /proc/$job ]]; do
    now=$(memory_of "$host")
    ((now <= most)) || most=$now
    sleep 0.5
  done
  wait "$job"
  peak=$most
}

body()
{
  printf '{"Name":"%s","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1","Env":["A=1","B=2"]},' "$1"
  printf '"Placement":{"Constraints":["node.hostname==nowhere"]}},"Mode":{"Replicated":{"Replicas":%s}}}' "$2"
}
all_tasks() { (($(api "$1" tasks | grep -o '"State":"pending"' | wc -l) >= tasks)); }

# crowd HOST: conversations, followers and slow readers; the figures of its lists.
crowd()
{
  local host=$1 side kind count rest cpu asked=0
  side=$(side_of "$host")
  cpu=$(cpu_of "$host")
  python3 "$here/../e2e/load.py" "$(sock_of "$host")" "$seconds" 20 "$followers" 20 <<<go >"$LAB/crowd.$side" ||
    fail "the crowd complains on $side: $(tail -n 12 "$LAB/crowd.$side")"
  while IFS=: read -r kind rest; do
    [[ $rest =~ ([0-9]+)' requests, p50 '([0-9]+).*' p99 '([0-9]+) ]] || continue
    count=${BASH_REMATCH[1]} asked=$((asked + count))
    keep "crowd.${kind// /_}.p50_ms" "$side" "${BASH_REMATCH[2]}"
    keep "crowd.${kind// /_}.p99_ms" "$side" "${BASH_REMATCH[3]}"
  done <"$LAB/crowd.$side"
  keep crowd.requests "$side" "$asked"
  keep crowd.cpu_us "$side" $((($(cpu_of "$host") - cpu) / asked))
}

for host in h1 h2; do
  step "$host: $services services, $tasks tasks"
  daemon_start $host
  engine $host swarm init --advertise-addr "$(ip_of $host)" >/dev/null
  "$GENERATOR" "$(sock_of $host)" 16 "$services" POST /v1.41/services/create \
    "$(body base-%d $((tasks / services)))" >/dev/null
  eventually 120 all_tasks $host
done
for part in services tasks inspect; do
  wanted $part || continue
  for host in h1 h2; do
    step "$part: $clients clients for $seconds s on $host"
    case $part in
    inspect) target=/v1.41/services/base-7 ;;
    *) target=/v1.41/$part ;;
    esac
    peak_of $host load $part $host --anew "$clients" "${seconds}s" GET "$target"
    keep $part.memory_kb "$(side_of $host)" "$peak"
  done
done
if wanted crowd; then
  for host in h1 h2; do
    step "a crowd for $seconds s on $host"
    peak_of $host crowd $host
    keep crowd.memory_kb "$(side_of $host)" "$peak"
  done
fi
table load
