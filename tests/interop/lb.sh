#!/bin/bash
# A service's virtual address on real packets: a client and three backends in namespaces on a bridge.
# New connections spread by weight, a drained backend gets none while open ones go on, a service
# without a backend refuses at once, and the backend sees the client's own address. 100,000 connections
# over ten backends are within 2 % of even; services called in turn do not fall into step.
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft ping
lb=$SKEP_BUILD/tests/interop/interop_lb
vip=10.88.0.2 port=8080

made=() programs=() holder=
clean()
{
  local status=$?
  trap - EXIT
  set +e
  local pid name
  for pid in "${programs[@]}" $holder; do kill "$pid"; wait "$pid"; done 2>/dev/null
  for name in "${made[@]}"; do ip netns del "$name"; done
  exit "$status"
}
trap clean EXIT
trap 'exit 143' HUP INT TERM

id=skeplb$$
in_ns() { local name=$1; shift; nsenter --net="/run/netns/$id$name" -- "$@"; }
# For what goes on in the background: takes the place of the subshell, so that $! is the program's.
exec_in_ns() { local name=$1; shift; exec nsenter --net="/run/netns/$id$name" -- "$@"; }
ns_add() { ip netns add "$id$1"; made+=("$id$1"); ip -n "$id$1" link set lo up; }

step "a bridge, a client (.10) and three backends (.21 .22 .23)"
ns_add sw
ip -n "${id}sw" link add br0 type bridge
ip -n "${id}sw" link set br0 up
for host in 10 21 22 23; do
  ns_add "$host"
  ip -n "${id}sw" link add "p$host" type veth peer name eth0 netns "$id$host"
  ip -n "${id}sw" link set "p$host" master br0 up
  ip -n "$id$host" addr add "10.88.0.$host/24" dev eth0
  ip -n "$id$host" link set eth0 up
done
for host in 21 22 23; do
  exec_in_ns "$host" "$lb" serve "$port" &
  programs+=($!)
  eventually 60 in_ns 10 "$lb" count "10.88.0.$host" "$port" 1
done

client() { in_ns 10 "$lb" "$@"; }
# spread N HOST LOW HIGH...: of N new connections each host gets so many, and no other host any.
spread()
{
  local n=$1 got host low high sum=0 reached; shift
  got=$(client count "$vip" "$port" "$n")
  while (($#)); do
    host=$1 low=$2 high=$3; shift 3
    reached=$(awk -v h="$host" '$1 == h { print $2 }' <<<"$got")
    ((${reached:-0} >= low && ${reached:-0} <= high)) || fail "host $host: ${reached:-0} of $n: $got"
    sum=$((sum + ${reached:-0}))
  done
  same "$n" "$sum" "connections that reached these hosts"
}

# The bounds are five standard deviations wide.
step "three equal backends"
client set "$vip" 10.88.0.21=1 10.88.0.22=1 10.88.0.23=1
spread 3000 21 870 1130 22 870 1130 23 870 1130

step "weights 3 : 1"
client set "$vip" 10.88.0.21=3 10.88.0.22=1
spread 2000 21 1400 1600 22 400 600

step "ICMP to the address is answered by a backend"
in_ns 10 ping -c 1 -W 30 "$vip" >/dev/null || fail "no echo from $vip"

step "a drained backend keeps its open connection and gets no new one"
client set "$vip" 10.88.0.23=1
coproc HOLD { exec_in_ns 10 "$lb" hold "$vip" "$port"; }
holder=$HOLD_PID
say() { echo "$1" >&"${HOLD[1]}"; read -r -t 60 answer <&"${HOLD[0]}" || fail "no echo of $1"; same "$1" "$answer" echo; }
read -r -t 60 who <&"${HOLD[0]}" || fail "no greeting"
same 23 "$who" "the only backend"
say before
client set "$vip" 10.88.0.21=1 10.88.0.22=1 10.88.0.23=0
say drained
spread 1000 21 420 580 22 420 580
say "still there"

step "without a backend connections are refused at once, open ones go on"
client set "$vip" 10.88.0.23=0
refused 'Connection refused' client count "$vip" "$port" 1
say "even now"
in_ns 10 ping -c 1 -W 1 "$vip" >/dev/null 2>&1 && fail "an idle address answers"

step "a backend that returns is used again; another service is its own"
client set "$vip" 10.88.0.22=1 10.88.0.3 10.88.0.21=1
spread 50 22 50 50
vip=10.88.0.3 spread 50 21 50 50

step "the client's own address reaches the backend"
in_ns 21 nft -f - <<'RULES'
table ip seen { set from { type ipv4_addr; flags dynamic; size 16; }
chain in { type filter hook input priority 0; tcp dport 8080 update @from { ip saddr }; }; }
RULES
vip=10.88.0.3 spread 5 21 5 5
seen=$(in_ns 21 nft list set ip seen from)
[[ $seen =~ elements' '=' '\{' '10\.88\.0\.10' '\} ]] || fail "another source: $seen"

step "100,000 connections over ten backends: within 2 % of even"
# (That is six standard deviations of the eighth that is drawn by lot.)
ten=() bounds=()
for ((host = 31; host <= 40; host++)); do
  ip -n "${id}21" addr add "10.88.0.$host/24" dev eth0
  ten+=("10.88.0.$host=1") bounds+=("$host" 9800 10200)
done
client set "$vip" "${ten[@]}"
spread 100000 "${bounds[@]}"

step "two services called in turn: each uses both of its backends"
client set 10.88.0.2 10.88.0.31=1 10.88.0.32=1 10.88.0.3 10.88.0.33=1 10.88.0.34=1
vip=10.88.0.2,10.88.0.3 spread 4000 31 750 1250 32 750 1250 33 750 1250 34 750 1250

step "balancing in the middle of changes: no connection fails"
exec_in_ns 10 "$lb" count "$vip" "$port" 4000 >/dev/null &
counter=$!
programs+=("$counter")
for ((i = 0; i < 20; i++)); do
  client set "$vip" 10.88.0.21=1 10.88.0.22=1 10.88.0.23=1
  client set "$vip" 10.88.0.22=1
done
wait "$counter" || fail "a connection failed during changes"
unset "programs[-1]"
