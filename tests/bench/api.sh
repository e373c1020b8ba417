#!/bin/bash
# The Engine API of one manager, ours and a stock dockerd in turns on the same machine: creating services
# with 1 and 16 clients, listing 1,000 services and 10,000 tasks, 100 clients at once; processor time per
# request and memory. Load comes from one and the same generator.
#
# Prints a table, and all of it again as one JSON line. ROUNDS, SERVICES and TASKS make it smaller.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs dockerd docker curl jq
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
GENERATOR=$SKEP_BUILD/tests/bench/bench_api
[[ -x $GENERATOR ]] || fail "no $GENERATOR: build first"
ROUNDS=${ROUNDS:-3}
SERVICES=${SERVICES:-1000}
TASKS=${TASKS:-10000}

lab_up 2
skep_start h1
stock_start h2
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
stock h2 swarm init --advertise-addr "$(ip_of h2)" >/dev/null
sock_of() { if [[ $1 == skep ]]; then echo "$LAB/h1/skep.sock"; else echo "$LAB/h2/docker.sock"; fi; }

# The processes of one side: a daemon and its children.
family_of()
{
  local top; if [[ $1 == skep ]]; then top=$(pid_of h1 skepd); else top=$(pid_of h2 dockerd); fi
  pstree_of "$top"
}
pstree_of()
{
  local child
  echo "$1"
  while read -r child; do pstree_of "$child"; done < <(cat "/proc/$1"/task/*/children 2>/dev/null | tr ' ' '\n' | grep .)
}

# Processor milliseconds, and private memory in kilobytes.
cpu_of()
{
  local pid sum=0 ticks
  for pid in $(family_of "$1"); do
    ticks=$(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat" 2>/dev/null || echo 0)
    sum=$((sum + ticks))
  done
  echo $((sum * 1000 / $(getconf CLK_TCK)))
}
memory_of()
{
  local pid
  for pid in $(family_of "$1"); do cat "/proc/$pid/smaps_rollup" 2>/dev/null || true; done |
    awk '/^Pss:/ { sum += $2 } END { print sum }'
}

# keep WHAT SIDE VALUE: one round's figure; median WHAT SIDE.
keep() { echo "$3" >>"$LAB/figure.$1.$2"; }
median() { sort -g "$LAB/figure.$1.$2" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# load WHAT SIDE CLIENTS COUNT METHOD TARGET [BODY]: runs it and keeps its figures.
load()
{
  local what=$1 side=$2 said before after; shift 2
  before=$(cpu_of "$side")
  said=$("$GENERATOR" "$(sock_of "$side")" "$@")
  after=$(cpu_of "$side")
  read -r _ _ _ failed _ rate _ p50 _ p99 _ _ <<<"$said"
  [[ $failed == 0 ]] || fail "$what on $side: $said"
  keep "$what.rate" "$side" "$rate"
  keep "$what.p50_us" "$side" "$p50"
  keep "$what.p99_us" "$side" "$p99"
  keep "$what.cpu_us" "$side" "$(((after - before) * 1000 / $2))"
}

# body NAME REPLICAS: a service whose tasks find no node, with %d for the generator to count.
body()
{
  printf '{"Name":"%s-%%d","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1","Env":["A=1","B=2"]},' "$1"
  printf '"Placement":{"Constraints":["node.hostname==nowhere"]}},"Mode":{"Replicated":{"Replicas":%s}}}' "$2"
}

step "creating"
for ((round = 1; round <= ROUNDS; round++)); do
  for side in skep stock; do
    load create_1 $side 1 200 POST /v1.41/services/create "$(body "one$round" 0)"
    load create_16 $side 16 400 POST /v1.41/services/create "$(body "many$round" 0)"
  done
done
made=$((ROUNDS * 600))
if ((made < SERVICES)); then
  for side in skep stock; do
    "$GENERATOR" "$(sock_of $side)" 16 $((SERVICES - made)) POST /v1.41/services/create "$(body rest 0)" >/dev/null
  done
fi
for side in skep stock; do keep "memory_services_kb" $side "$(memory_of $side)"; done

step "listing services"
for ((round = 1; round <= ROUNDS; round++)); do
  for side in skep stock; do
    load list_services $side 1 50 GET /v1.41/services
    load list_services_100 $side 100 200 GET /v1.41/services
    load inspect_100 $side 100 5000 GET /v1.41/services/one1-7
    load ping_100 $side 100 5000 GET /_ping
  done
done

step "listing tasks"
for side in skep stock; do
  "$GENERATOR" "$(sock_of $side)" 1 1 POST /v1.41/services/create "$(body tasks "$TASKS")" >/dev/null
  all_tasks() { [[ $(curl -s --unix-socket "$(sock_of "$side")" http://d/v1.41/tasks | jq length) -ge $TASKS ]]; }
  eventually 120 all_tasks
done
for ((round = 1; round <= ROUNDS; round++)); do
  for side in skep stock; do load list_tasks $side 1 5 GET /v1.41/tasks; done
done
for side in skep stock; do keep "memory_tasks_kb" $side "$(memory_of $side)"; done

printf '%-28s %12s %12s %8s\n' "" skep stock ratio
json=
for file in "$LAB"/figure.*.skep; do
  what=${file##*/figure.}; what=${what%.skep}
  ours=$(median "$what" skep) theirs=$(median "$what" stock)
  printf '%-28s %12s %12s %8s\n' "$what" "$ours" "$theirs" \
    "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf (b ? "%.2f" : "-"), (b ? a / b : 0) }')"
  json+=$(printf ',"%s":[%s,%s]' "$what" "$ours" "$theirs")
done
echo "{\"bench\":\"api\"$json}"
