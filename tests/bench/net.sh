#!/bin/bash
# The data plane, container to container: on one node, across nodes, by a service's address, by a
# published port; beside a bare veth pair, a hand-made VXLAN between two namespaces and stock dockerd's
# overlay, in turns on the same machine.
#
# "cost" is the processor's time that sending a small packet takes, all the way to the other container:
# it stays the same on a machine that has other work.
#
# Each figure is the median of ROUNDS rounds of SECONDS_EACH. PARTS chooses among "paths vip mesh spread
# memory encrypted". "memory" says what an agent holds for NETWORKS networks with ENDPOINTS endpoints,
# half of them its own; "spread" is net/spread.sh, how long NODES nodes take to learn what one service became;
# "encrypted" is net/encrypted.sh, in a guest whose kernel has ESP. Stock's service addresses and mesh need IPVS in the
# kernel; without it they have no figure.
#
# Prints a table, and all of it again as JSON lines.
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
. "$(dirname "$0")/../support/lab.sh"
. "$(dirname "$0")/net/figures.sh"
lab_needs docker dockerd conmon crun umoci busybox nft
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-0.5}
PARTS=${PARTS:-paths vip mesh spread memory encrypted}
NETWORKS=${NETWORKS:-100}
ENDPOINTS=${ENDPOINTS:-1000}
SKEP_BUILD=$(realpath "$SKEP_BUILD")
bench=$SKEP_BUILD/tests/bench/bench_net
here=$(cd "$(dirname "$0")" && pwd)
PORT=7001
part() { [[ " $PARTS " == *" $1 "* ]]; }

# h1 and h2 run skepd, h3 and h4 dockerd, h5 is a client outside.
lab_up 5
figures=$LAB/figures
mkdir "$figures"

# ---- places to run in -------------------------------------------------------------------------

# in_place PLACE COMMAND...: places are HOST:SANDBOX; the sandbox is a container of the host, a
# namespace with a name, or nothing for the host itself.
in_place()
{
  local host=${1%%:*} sandbox=${1#*:} ns; shift
  case $sandbox in
  '') on "$host" "$@"; return ;;
  ns-*) ns=/run/netns/$sandbox ;;
  *) ns=$(<"$LAB/$host/ns.$sandbox") ;;
  esac
  on "$host" nsenter --net="$ns" -- "$@"
}
serve_in()
{
  local host=${1%%:*} sandbox=${1#*:} ns=/proc/self/ns/net
  case $sandbox in
  '') ;;
  ns-*) ns=/run/netns/$sandbox ;;
  *) ns=$(<"$LAB/$host/ns.$sandbox") ;;
  esac
  start "$host" "serve-$sandbox" nsenter --net="$ns" -- "$bench" serve $PORT
}
skep_place() { echo "$LAB/$1/exec/netns/${3:0:12}" >"$LAB/$1/ns.$2"; }

# ---- figures ----------------------------------------------------------------------------------

# measure NAME PLACE ADDRESS WHAT... [port]: one round of each.
measure()
{
  local name=$1 place=$2 address=$3 what line; shift 3
  for what in "$@"; do
    case $what in
    packets) line=$(in_place "$place" "$bench" packets "$address" "$PORT" "$SECONDS_EACH" 64) ;;
    *) line=$(in_place "$place" "$bench" "$what" "$address" "$PORT" "$SECONDS_EACH") ;;
    esac
    if [[ $what == trips ]]; then
      keep "$name.p50" "$(field p50_us <<<"$line")"
      keep "$name.p99" "$(field p99_us <<<"$line")"
    else
      keep "$name.$what" "$(field rate <<<"$line")"
      [[ $what != packets ]] || keep "$name.cost" "$(field cost_us <<<"$line")"
    fi
  done
}

# rows CASE OURS THEIRS PEER-NAME AIM SMALL-AIM
rows()
{
  row "$1" stream "$2" "$3" "$4" "$5"
  row "$1" packets "$2" "$3" "$4" "$6"
  row "$1" cost "$2" "$3" "$4" "$6"
  row "$1" connects "$2" "$3" "$4" "$5"
  row "$1" p50 "$2" "$3" "$4" "$5"
  row "$1" p99 "$2" "$3" "$4" ""
}

# ---- the clusters -----------------------------------------------------------------------------

bridged()
{
  local host=$1 own=1 peer=2 other=h2
  [[ $host == h1 ]] || { own=2; peer=1; other=h1; }
  on "$host" ip netns add ns-bridge
  on "$host" ip netns add ns-behind
  on "$host" ip link add vx78 type vxlan id 78 dstport 4790 nolearning local "$(ip_of "$host")"
  on "$host" ip link set vx78 netns ns-bridge
  on "$host" ip -n ns-bridge link add br0 type bridge
  on "$host" ip -n ns-bridge link add port netns ns-bridge type veth peer name eth0 netns ns-behind
  for link in vx78 port; do on "$host" ip -n ns-bridge link set $link master br0 mtu 1450 up; done
  on "$host" ip -n ns-bridge link set br0 up
  on "$host" ip netns exec ns-bridge sh -c \
    'for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 >$f; done'
  on "$host" ip -n ns-behind link set eth0 address 02:42:0a:61:00:0$own mtu 1450 up
  on "$host" ip -n ns-behind addr add 10.97.0.$own/24 dev eth0
  on "$host" ip -n ns-behind neigh add 10.97.0.$peer lladdr 02:42:0a:61:00:0$peer dev eth0 nud permanent
  on "$host" bridge -n ns-bridge fdb append 02:42:0a:61:00:0$peer dev vx78 dst "$(ip_of $other)" self permanent
}

# Hand-made VXLANs between a namespace on h1 and one on h2: the device, its rows, and nothing else; and
# another behind a bridge, as containers have it, without a filter.
by_hand()
{
  local host name=ns-vxlan
  for host in h1 h2; do
    local other=h1 own=1 peer=2
    [[ $host == h2 ]] || { other=h2; own=1; peer=2; }
    [[ $host == h1 ]] || { own=2; peer=1; }
    on $host ip netns add $name
    on $host ip -n $name link set lo up
    on $host ip link add vx77 address 02:42:0a:60:00:0$own type vxlan id 77 dstport 4790 nolearning \
      local "$(ip_of $host)"
    on $host ip link set vx77 netns $name
    on $host ip -n $name addr add 10.96.0.$own/24 dev vx77
    on $host ip -n $name link set vx77 mtu 1450 up
    on $host ip -n $name neigh add 10.96.0.$peer lladdr 02:42:0a:60:00:0$peer dev vx77 nud permanent
    on $host bridge -n $name fdb append 02:42:0a:60:00:0$peer dev vx77 dst "$(ip_of $other)" self permanent
  done
  for host in h1 h2; do bridged $host; done
  on h1 ip netns add ns-veth1
  on h1 ip netns add ns-veth2
  on h1 ip link add eth0 netns ns-veth1 type veth peer name eth0 netns ns-veth2
  for own in 1 2; do
    on h1 ip -n ns-veth$own addr add 10.95.0.$own/24 dev eth0
    on h1 ip -n ns-veth$own link set eth0 mtu 1450 up
    on h1 ip -n ns-veth$own link set lo up
  done
  serve_in h2:ns-vxlan
  serve_in h2:ns-behind
  serve_in h1:ns-veth2
}

manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
skep_cluster()
{
  skep_image h1 h2
  skep_start h1
  skep_start h2
  manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
  skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" \
    --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
  manager network create --driver overlay --attachable --subnet 10.40.0.0/16 bench >/dev/null
}
# skep_container HOST NAME
skep_container()
{
  skep_place "$1" "$2" "$(skep "$1" run -d --name "$2" --network bench "$LAB_IMAGE" sleep 100000)"
}
skep_address() { skep "$1" inspect -f '{{.NetworkSettings.Networks.bench.IPAddress}}' "$2"; }
# skep_service NAME HOST [OPTION...]: a service of one task there.
skep_service()
{
  local name=$1 host=$2; shift 2
  manager service create --detach --quiet --name "$name" --constraint "node.hostname==$host" "$@" \
    "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
  eventually 60 replicas "$name" 1/1
  skep_place "$host" "$name" "$(skep "$host" ps -q --no-trunc --filter "name=$name")"
}

stock_cluster()
{
  stock_start h3
  stock_start h4
  stock_image h3 h4
  stock h3 swarm init --advertise-addr "$(ip_of h3)" >/dev/null
  stock h4 swarm join --token "$(stock h3 swarm join-token --quiet worker)" \
    --advertise-addr "$(ip_of h4)" "$(ip_of h3):2377" >/dev/null
  stock h3 network create --driver overlay --attachable --subnet 10.41.0.0/16 bench >/dev/null
}
stock_container()
{
  # It gives an attachment 20 s, which a busy machine may not do.
  runs() { stock "$1" rm -f "$2" >/dev/null 2>&1; stock "$1" run -d --name "$2" --network bench "$LAB_IMAGE" sleep 100000; }
  eventually 120 runs "$1" "$2"
  echo "/proc/$(stock "$1" inspect -f '{{.State.Pid}}' "$2")/ns/net" >"$LAB/$1/ns.$2"
}
stock_address() { stock "$1" inspect -f '{{.NetworkSettings.Networks.bench.IPAddress}}' "$2"; }
answers() { in_place "$1" "$bench" connects "$2" "$PORT" 0.01; }

# ---- the parts --------------------------------------------------------------------------------

ALL=(stream packets connects trips)
step "what is compared with: a veth pair and a VXLAN made by hand"
by_hand
eventually 10 answers h1:ns-vxlan 10.96.0.2
eventually 10 answers h1:ns-behind 10.97.0.2
eventually 10 answers h1:ns-veth1 10.95.0.2

if part paths || part mesh || part memory; then
  step "two nodes of skepd"
  skep_cluster
  skep_container h1 client
  skep_container h1 near
  skep_container h2 far
  for place in h1:near h2:far; do serve_in $place; done
  near=$(skep_address h1 near) far=$(skep_address h2 far)
  for to in "$near" "$far"; do eventually 20 answers h1:client "$to"; done
fi

if part paths; then
  step "two nodes of dockerd"
  stock_cluster
  stock_container h3 client
  stock_container h3 near
  stock_container h4 far
  for place in h3:near h4:far; do serve_in $place; done
  stock_near=$(stock_address h3 near) stock_far=$(stock_address h4 far)
  for to in "$stock_near" "$stock_far"; do eventually 20 answers h3:client "$to"; done

  step "and a service of one task, by its address"
  skep_service one h2 --network bench
  serve_in h2:one
  vip=$(manager service inspect one --format '{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}')
  vip=${vip%/*}
  eventually 20 answers h1:client "$vip"
  for ((round = 1; round <= ROUNDS; round++)); do
    step "paths, round $round of $ROUNDS"
    measure veth h1:ns-veth1 10.95.0.2 "${ALL[@]}"
    measure skep_near h1:client "$near" "${ALL[@]}"
    measure stock_near h3:client "$stock_near" "${ALL[@]}"
    measure vxlan h1:ns-vxlan 10.96.0.2 "${ALL[@]}"
    measure bridged h1:ns-behind 10.97.0.2 "${ALL[@]}"
    measure skep_far h1:client "$far" "${ALL[@]}"
    measure stock_far h3:client "$stock_far" "${ALL[@]}"
    measure skep_vip h1:client "$vip" "${ALL[@]}"
  done
  rows "one node" skep_near veth "veth pair" "" ""
  rows "one node" skep_near stock_near dockerd 1 1
  rows "across nodes" skep_far vxlan "plain VXLAN" 0.95 0.85
  rows "across nodes" skep_far bridged "VXLAN and bridge" 0.95 0.95
  rows "across nodes" skep_far stock_far dockerd 1 1
  rows "service address" skep_vip skep_far direct 0.9 ""
fi

if part vip; then
  # The table that a sandbox has, in the namespace of the hand-made VXLAN: so the cost is the
  # balancer's alone. All backends are addresses of the other end.
  on h2 ip -n ns-vxlan addr add 10.98.0.1/32 dev lo
  for ((i = 2; i <= 100; i++)); do echo "addr add 10.98.0.$i/32 dev lo"; done | on h2 ip -n ns-vxlan -batch -
  on h1 ip -n ns-vxlan route add 10.98.0.0/24 via 10.96.0.2
  on h1 ip -n ns-vxlan route add 10.99.0.0/16 via 10.96.0.2
  on h1 ip netns exec ns-vxlan sysctl -qw net.ipv4.ip_forward=0
  cases=(1/1 1/10 1/100 100/10 1000/10 10000/10)
  for ((round = 1; round <= ROUNDS; round++)); do
    step "service addresses, round $round of $ROUNDS"
    for case in "${cases[@]}"; do
      name=vip-${case/\//-}
      line=$(in_place h1:ns-vxlan "$bench" balance "${case%/*}" "${case#*/}")
      keep "$name.ms" "$(field ms <<<"$line")"
      # The last of the services, by its number.
      number=${case%/*}
      to=10.99.$((number / 256)).$((number % 256))
      measure "$name" h1:ns-vxlan "$to" connects trips
      # Connections of the same table by the backend's own address.
      measure "$name-direct" h1:ns-vxlan 10.98.0.1 connects trips
      on h1 ip netns exec ns-vxlan nft delete table ip skep_lb
    done
  done
  for case in "${cases[@]}"; do
    name=vip-${case/\//-} aim=''
    [[ $case != 10000/10 ]] || aim=0.9
    text="${case%/*} services of ${case#*/}"
    row "$text" connects "$name" "$name-direct" direct "$aim"
    row "$text" p50 "$name" "$name-direct" direct "$aim"
    row "$text" p99 "$name" "$name-direct" direct ""
    row "$text" ms "$name" '' "full set" ""
  done
  # The programming itself, for services of three backends.
  "$SKEP_BUILD/tests/bench/bench_lb" 10000 3 200 >"$figures/lb"
  keep lb_full.ms "$(awk '/^full load/ { print $3 }' "$figures/lb")"
  keep lb_change.ms "$(awk '/^one change/ { print $4 }' "$figures/lb")"
  echo 500 >"$figures/aim_full.ms"
  echo 3 >"$figures/aim_change.ms"
  row "10000 services of 3, full set" ms lb_full aim_full "the aim" 1
  row "10000 services of 3, one change" ms lb_change aim_change "the aim" 1
fi

if part mesh; then
  step "published ports: a task on the node itself, and on the other"
  for host in h1 h2; do
    number=${host#h}
    skep_service "web$number" $host --publish "800$number:$PORT" --publish "810$number:$((PORT + 1))" \
      --publish "800$number:$PORT/udp"
    serve_in "$host:web$number"
  done
  serve_in h1:
  mesh_measure()
  {
    local name=$1 port=$2 line
    line=$(in_place h5: "$bench" connects "$(ip_of h1)" "$port" "$SECONDS_EACH")
    keep "$name.connects" "$(field rate <<<"$line")"
    line=$(in_place h5: "$bench" trips "$(ip_of h1)" "$port" "$SECONDS_EACH")
    keep "$name.p50" "$(field p50_us <<<"$line")"
    keep "$name.p99" "$(field p99_us <<<"$line")"
    line=$(in_place h5: "$bench" packets "$(ip_of h1)" "$port" "$SECONDS_EACH" 64)
    keep "$name.packets" "$(field rate <<<"$line")"
    line=$(in_place h5: "$bench" stream "$(ip_of h1)" "$((port == PORT ? port : port + 99))" "$SECONDS_EACH")
    keep "$name.stream" "$(field rate <<<"$line")"
  }
  reached() { in_place h5: "$bench" connects "$(ip_of h1)" "$1" 0.01; }
  for port in $PORT 8001 8002; do eventually 20 reached "$port"; done
  for ((round = 1; round <= ROUNDS; round++)); do
    step "mesh, round $round of $ROUNDS"
    mesh_measure mesh_host $PORT
    mesh_measure mesh_near 8001
    mesh_measure mesh_far 8002
  done
  rows "mesh, task on the node" mesh_near mesh_host "the host itself" "" ""
  rows "mesh, task on another node" mesh_far mesh_host "the host itself" "" ""
fi

if part memory; then
  # All that skepd runs on h2, containers and their monitors not counted.
  agent_kb() { on h2 pgrep -x skepd | while read -r pid; do on h2 cat "/proc/$pid/smaps_rollup"; done | awk '/^Pss:/ { s += $2 } END { print s }'; }
  step "memory of an agent: $NETWORKS networks, $ENDPOINTS endpoints"
  keep memory_before.kb "$(agent_kb)"
  # Each service is on ten networks, and each of its tasks has an endpoint in all ten.
  groups=$((NETWORKS / 10)) each=$((ENDPOINTS / NETWORKS))
  for ((i = 0; i < groups; i++)); do
    on_ten=()
    for ((k = 0; k < 10; k++)); do
      manager network create --driver overlay "m$i-$k" >/dev/null
      on_ten+=(--network "m$i-$k")
    done
    manager service create --detach --quiet --name "m$i" --replicas "$each" "${on_ten[@]}" "$LAB_IMAGE" \
      sleep 100000 >/dev/null 2>&1
  done
  for ((i = 0; i < groups; i++)); do eventually 300 replicas "m$i" "$each/$each"; done
  # Everybody's rows have come: an overlay of h2 sends to all tasks that are not its own.
  tunnelled() { on h2 sh -c "for n in $LAB/h2/exec/netns/1-*; do nsenter --net=\$n bridge fdb show; done" | grep -c ' dst '; }
  has_all() { (($(tunnelled) >= ENDPOINTS / 2)); }
  eventually 60 has_all
  keep memory_with.kb "$(agent_kb)"
  containers=$(skep h2 ps -q | wc -l)
  for ((i = 0; i < groups; i++)); do manager service rm "m$i" >/dev/null; done
  left() { skep h2 ps --format '{{.Names}}' | grep '^m[0-9]*\.'; }
  none_left() { ! left; }
  eventually 120 none_left
  row "agent before" kb memory_before '' "" ""
  row "$NETWORKS networks, $ENDPOINTS endpoints, $containers containers" kb memory_with '' "" ""
fi

show_figures
echo "stock's service addresses and mesh: $([[ -e /proc/net/ip_vs ]] && echo "not measured here" ||
  echo "this kernel has no IPVS, so they pass no traffic")"
if part spread; then bash "$here/net/spread.sh"; fi
if part encrypted; then bash "$here/net/encrypted.sh"; fi
