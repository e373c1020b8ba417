#!/bin/bash
# The Engine API and the managers behind it, ours and stock ones in turns on the same machine: memory
# and processor time of an idle manager, creating, listing and forgetting services and tasks, the
# restart of a manager; then groups of three managers (and an etcd of three members beside them), and
# what the death of their leader costs. Load comes from one and the same generator.
#
# Prints a table with the aim of each row, and all of it again as one JSON line. ROUNDS, SERVICES and
# TASKS make it smaller; ROWS names parts: idle create list pending restart group failover.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs dockerd docker curl jq
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
GENERATOR=$SKEP_BUILD/tests/bench/bench_api
[[ -x $GENERATOR ]] || fail "no $GENERATOR: build first"
ROUNDS=${ROUNDS:-3}
SERVICES=${SERVICES:-1000}
TASKS=${TASKS:-10000}
IDLE_SECONDS=${IDLE_SECONDS:-40}
ROWS=${ROWS:-idle create list pending restart group failover}
wanted() { [[ " $ROWS " == *" $1 "* ]]; }

# ---- the two sides -----------------------------------------------------------------------------

# Alone: h1 is ours, h2 stock. Groups: h3 to h5 ours, h6 to h8 stock.
lab_up 8
side_of() { case $1 in h1 | h[345]) echo skep ;; *) echo stock ;; esac; }
. "$here/../support/bench.sh"

# body NAME REPLICAS: a service whose tasks find no node, with %d for the generator to count.
body()
{
  printf '{"Name":"%s-%%d","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1","Env":["A=1","B=2"]},' "$1"
  printf '"Placement":{"Constraints":["node.hostname==nowhere"]}},"Mode":{"Replicated":{"Replicas":%s}}}' "$2"
}

# ---- one manager -------------------------------------------------------------------------------

alone_up()
{
  step "one manager each"
  for host in h1 h2; do
    daemon_start $host
    engine $host swarm init --advertise-addr "$(ip_of $host)" >/dev/null
  done
  sleep 3 # what the founding left to do is done
  if wanted idle; then
    for host in h1 h2; do keep idle.memory_kb "$(side_of $host)" "$(memory_of $host)"; done
  fi
}

make_services()
{
  local memory made=0
  step "creating services"
  for host in h1 h2; do memory[${host#h}]=$(memory_of $host); done
  if wanted create; then
    for ((round = 1; round <= ROUNDS; round++)); do
      for host in h1 h2; do
        load create_1 $host 1 200 POST /v1.41/services/create "$(body "one$round" 0)"
        load create_16 $host 16 400 POST /v1.41/services/create "$(body "many$round" 0)"
      done
    done
    made=$((ROUNDS * 600))
  fi
  for host in h1 h2; do
    if ((made < SERVICES)); then
      "$GENERATOR" "$(sock_of $host)" 16 $((SERVICES - made)) POST /v1.41/services/create "$(body rest 0)" >/dev/null
    fi
    keep services.memory_kb_per_1000 "$(side_of $host)" \
      $((($(memory_of $host) - memory[${host#h}]) * 1000 / (made > SERVICES ? made : SERVICES)))
  done
  # Lists are measured at the same length whatever was made before.
  for host in h1 h2; do
    api $host services | jq -r ".[$SERVICES:][].ID" | while read -r id; do api $host "services/$id" -X DELETE; done
  done
}

list_services()
{
  local some
  step "listing services"
  some=$(api h1 services | jq -r '.[0].Spec.Name')
  for ((round = 1; round <= ROUNDS; round++)); do
    for host in h1 h2; do
      some=$(api $host services | jq -r '.[0].ID')
      load list_services $host 1 200 GET /v1.41/services
      load list_services_status $host 1 50 GET '/v1.41/services?status=true'
      load list_services_100 $host 100 400 GET /v1.41/services
      load inspect_100 $host 100 5000 GET "/v1.41/services/$some"
      load ping_100 $host 100 5000 GET /_ping
    done
  done
}

no_tasks() { [[ $(api "$1" tasks | jq length) == 0 ]]; }

# Every task has been looked at, and waits for a node.
all_pending() { (($(api "$1" tasks | grep -o '"State":"pending"' | wc -l) >= TASKS)); }

pending_tasks()
{
  local host side before cpu began id memory after
  step "pending tasks"
  for ((round = 1; round <= ROUNDS; round++)); do
    for host in h1 h2; do
      side=$(side_of $host)
      before=$(memory_of $host) cpu=$(cpu_of $host) began=$(now_ms)
      id=$(api $host services/create -H 'Content-Type: application/json' \
        --data "$(body "tasks$round" "$TASKS" | sed 's/%d/0/')" | jq -r .ID)
      until all_pending $host; do sleep 0.05; done
      keep tasks.create_per_s "$side" $((TASKS * 1000 / ($(now_ms) - began)))
      keep tasks.cpu_us "$side" $((($(cpu_of $host) - cpu) / TASKS))
      sleep 4
      memory=$(memory_of $host)
      keep tasks.memory_kb_per_10000 "$side" $(((memory - before) * 10000 / TASKS))
      load list_tasks $host 1 10 GET /v1.41/tasks
      api $host "services/$id" -X DELETE
      eventually 120 no_tasks $host
      sleep 10
      after=$(memory_of $host)
      keep tasks.given_back_percent "$side" $((memory > before ? (memory - after) * 100 / (memory - before) : 100))
    done
  done
}
restart()
{
  local host began side
  step "restart"
  for ((round = 1; round <= ROUNDS; round++)); do
    for host in h1 h2; do
      side=$(side_of $host)
      daemon_stop $host
      began=$(now_ms)
      daemon_start $host &
      until curl -fs -o /dev/null --max-time 5 --unix-socket "$(sock_of $host)" http://d/v1.41/services; do sleep 0.01; done
      keep restart.ready_ms "$side" $(($(now_ms) - began))
      wait
    done
  done
}

# ---- three managers ----------------------------------------------------------------------------

managers_are() { [[ $(api "$1" nodes | jq '[.[] | select(.ManagerStatus.Reachability == "reachable")] | length') == "$2" ]]; }

group_up()
{
  local first=$1 token host; shift
  daemon_start "$first"
  engine "$first" swarm init --advertise-addr "$(ip_of "$first")" >/dev/null
  token=$(engine "$first" swarm join-token --quiet manager)
  for host in "$@"; do
    daemon_start "$host"
    engine "$host" swarm join --token "$token" "$(ip_of "$first"):2377" >/dev/null
  done
  eventually 60 managers_are "$first" 3
}

groups_up()
{
  step "three managers each"
  group_up h3 h4 h5
  group_up h6 h7 h8
  sleep 5 # the joins settle
}

idle_group()
{
  local host what cpu
  step "idle for $IDLE_SECONDS s"
  sleep 30 # what joining leaves to do comes to its end: the first audit of networks is after half a minute
  for host in h3 h4 h6 h7; do cpu[${host#h}]=$(cpu_of $host); done
  sleep "$IDLE_SECONDS"
  # In percent of a processor: of one follower, and of the founder, which leads.
  for host in h3 h4 h6 h7; do
    case $host in h3 | h6) what=idle.leader_cpu_percent ;; *) what=idle.cpu_percent ;; esac
    keep $what "$(side_of $host)" \
      "$(awk -v us=$(($(cpu_of $host) - cpu[${host#h}])) -v s="$IDLE_SECONDS" 'BEGIN { printf "%.2f", us / s / 10000 }')"
  done
}

# An etcd of three members on one host's loopback, asked through its JSON gateway by the generator.
etcd_up()
{
  local i
  command -v etcd >/dev/null || return 1
  for i in 1 2 3; do
    start h2 "etcd$i" etcd --name "m$i" --data-dir "$LAB/h2/etcd$i" --log-level error \
      --listen-client-urls "http://127.0.0.1:2379$i" --advertise-client-urls "http://127.0.0.1:2379$i" \
      --listen-peer-urls "http://127.0.0.1:2389$i" --initial-advertise-peer-urls "http://127.0.0.1:2389$i" \
      --initial-cluster "m1=http://127.0.0.1:23891,m2=http://127.0.0.1:23892,m3=http://127.0.0.1:23893"
  done
  eventually 30 on h2 curl -fsS "http://127.0.0.1:23791/v3/maintenance/status" --data '{}'
}
etcd_leader()
{
  local i status
  for i in 1 2 3; do
    status=$(on h2 curl -fsS "http://127.0.0.1:2379$i/v3/maintenance/status" --data '{}')
    if jq -e '.header.member_id == .leader' <<<"$status" >/dev/null; then echo "127.0.0.1:2379$i"; fi
  done
}

create_in_groups()
{
  local host etcd=''
  local put='{"key":"azAxMjM0JWQ=","value":"'; put+=$(printf 'A%.0s' {1..340})'"}'
  step "creating in groups"
  if etcd_up; then etcd=$(etcd_leader); fi
  for ((round = 1; round <= ROUNDS; round++)); do
    for host in h3 h6; do
      load group_create_1 $host 1 200 POST /v1.41/services/create "$(body "one$round" 0)"
      load group_create_16 $host 16 800 POST /v1.41/services/create "$(body "many$round" 0)"
    done
    if [[ $etcd ]]; then
      measure group_create_1 etcd on h2 "$GENERATOR" "$etcd" 1 400 POST /v3/kv/put "$put"
      measure group_create_16 etcd on h2 "$GENERATOR" "$etcd" 16 1600 POST /v3/kv/put "$put"
    fi
  done
  for i in 1 2 3; do [[ ! $etcd ]] || stop h2 "etcd$i"; done
}

leads() { [[ $(api "$1" info | jq -r .Swarm.NodeID) == "$2" ]]; }

# failover HOST...: the leader's host loses its power; how long until the others commit a write.
failover()
{
  local host side leader='' id began n=0 rest=()
  side=$(side_of "$1")
  id=$(api "$1" nodes | jq -r '.[] | select(.ManagerStatus.Leader) | .ID')
  for host in "$@"; do if leads "$host" "$id"; then leader=$host; else rest+=("$host"); fi; done
  [[ $leader ]] || fail "no leader among $*"
  host_kill "$leader"
  began=$(now_ms)
  until curl -fs -o /dev/null --max-time 1.5 --unix-socket "$(sock_of "${rest[n % 2]}")" http://d/v1.41/services/create \
    -H 'Content-Type: application/json' --data "$(body "gap$began" 0 | sed "s/%d/$n/")"; do
    n=$((n + 1))
    (($(now_ms) - began < 60000)) || fail "no write within a minute on $side"
    sleep 0.02
  done
  keep failover.gap_ms "$side" $(($(now_ms) - began))
  host_boot "$leader"
  daemon_start "$leader"
  eventually 60 managers_are "${rest[0]}" 3
  sleep 1
}

# ---- the run -----------------------------------------------------------------------------------

if wanted idle || wanted create || wanted list || wanted pending || wanted restart; then
  alone_up
  if wanted create || wanted list; then make_services; fi
  if wanted list; then list_services; fi
  if wanted pending; then pending_tasks; fi
  if wanted restart; then restart; fi
  for host in h1 h2; do daemon_stop $host; done
fi
if wanted group || wanted failover || wanted idle; then
  groups_up
  if wanted idle; then idle_group; fi
  if wanted group; then create_in_groups; fi
  if wanted failover; then
    step "death of the leader"
    for ((round = 1; round <= ROUNDS; round++)); do
      failover h3 h4 h5
      failover h6 h7 h8
    done
  fi
fi

# Of a row, as bench.sh reads them.
aim_of()
{
  case $1 in
  idle.memory_kb) echo '<= 6000' ;;
  idle.cpu_percent | idle.leader_cpu_percent) echo '<= 0.2' ;;
  services.memory_kb_per_1000) echo '<= 2500' ;;
  tasks.memory_kb_per_10000) echo '<= 15000' ;;
  tasks.given_back_percent) echo '>= 80' ;;
  tasks.create_per_s) echo '>= 20000' ;;
  tasks.cpu_us) echo '<= 30' ;;
  create_1.rate) echo '>= 2 x' ;;
  create_16.rate) echo '>= 5 x' ;;
  list_services.rate) echo '>= 10 x' ;;
  list_services.cpu_us) echo '<= 1000' ;;
  list_tasks.p50_us) echo '<= 14000' ;;
  restart.ready_ms) echo '<= 500' ;;
  group_create_1.p50_us) echo '<= 1000' ;;
  group_create_1.rate | group_create_16.rate) echo '>= 10 x, etcd' ;;
  failover.gap_ms) echo '<= 1500' ;;
  *) echo - ;;
  esac
}
table api
