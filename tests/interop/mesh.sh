#!/bin/bash
# The routing mesh on real packets: two nodes with their sandboxes, overlay and tasks, made of
# namespaces with a VXLAN between them, and a client outside. The client's address reaches tasks of
# Skep nodes, local and remote, by TCP and UDP; stock-like tasks and entry nodes work with theirs
# hidden; hosts, localhost and neighbours of a task get in; errors and path MTU find the way back.
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft ping conntrack
mesh=$SKEP_BUILD/tests/interop/interop_mesh
ports=6:8080:80,17:8080:80
A=198.51.100.1 B=198.51.100.2 C=198.51.100.50
work=$(mktemp -d)

made=() programs=()
clean()
{
  local status=$?
  trap - EXIT
  set +e
  [[ $status == 0 || $status == 77 ]] || tail -n 20 "$work"/*.out >&2
  local pid name
  for pid in "${programs[@]}"; do kill "$pid"; wait "$pid"; done 2>/dev/null
  for name in "${made[@]}"; do ip netns del "$name"; done
  rm -rf "$work"
  exit "$status"
}
trap clean EXIT
trap 'exit 143' HUP INT TERM

id=skepms$$
in_ns() { local name=$1; shift; nsenter --net="/run/netns/$id$name" -- "$@"; }
exec_in_ns() { local name=$1; shift; exec nsenter --net="/run/netns/$id$name" -- "$@"; }
on_ip() { local name=$1; shift; ip -n "$id$name" "$@"; }
ns_add() { ip netns add "$id$1"; made+=("$id$1"); on_ip "$1" link set lo up; }
# wire NS1 IF1 NS2 IF2 [MAC2]: a cable; the second end may have a MAC address of its own.
wire()
{
  on_ip "$1" link add "$2" type veth peer name "$4" netns "$id$3"
  [[ -z ${5:-} ]] || on_ip "$3" link set "$4" address "$5"
  on_ip "$1" link set "$2" up
  on_ip "$3" link set "$4" up
}
# shellcheck disable=SC2086 # four numbers
mac_of() { printf '02:42:%02x:%02x:%02x:%02x' ${1//./ }; }

# sandbox NODE NAME INGRESS GATEWAY: a namespace on the node's overlay and its gateway bridge.
sandbox()
{
  local node=$1 name=$2 ingress=$3 gateway=$4
  ns_add "$name"
  wire "${node}ov" "v$name" "$name" eth0 "$(mac_of "$ingress")"
  on_ip "${node}ov" link set "v$name" master br0 mtu 1450
  on_ip "$name" link set eth0 mtu 1450
  on_ip "$name" addr add "$ingress/24" dev eth0
  wire "$node" "g$name" "$name" eth2
  on_ip "$node" link set "g$name" master gwb
  on_ip "$name" addr add "$gateway/16" dev eth2
  on_ip "$name" route add default via 172.18.0.1
}

# host NODE ADDRESS: a node: underlay, gateway bridge, overlay with its VXLAN.
host()
{
  local node=$1 address=$2
  ns_add "$node"
  wire sw "p$node" "$node" eth0
  on_ip sw link set "p$node" master br0
  on_ip "$node" addr add "$address/24" dev eth0
  on_ip "$node" link add gwb type bridge
  on_ip "$node" addr add 172.18.0.1/16 dev gwb
  on_ip "$node" link set gwb up
  in_ns "$node" nft -f - <<'RULES'
table ip gateway { chain post { type nat hook postrouting priority 100;
  ip saddr 172.18.0.0/16 oifname != "gwb" masquerade; }; }
RULES
  ns_add "${node}ov"
  on_ip "${node}ov" link add br0 type bridge
  on_ip "${node}ov" link set br0 up
  # Born on the host, so that its outer packets are the host's.
  on_ip "$node" link add vx0 type vxlan id 4096 dstport 4789 nolearning proxy local "$address"
  on_ip "$node" link set vx0 netns "$id${node}ov"
  on_ip "${node}ov" link set vx0 master br0 mtu 1450 up
}

# peer NODE INGRESS TUNNEL: where an ingress address lives that is not here.
peer()
{
  on_ip "$1" neigh replace "$2" dev vx0 lladdr "$(mac_of "$2")" nud permanent
  bridge -n "$id$1" fdb replace "$(mac_of "$2")" dev vx0 dst "$3" self permanent
}

step "nodes A and B, a client C"
ns_add sw
on_ip sw link add br0 type bridge
on_ip sw link set br0 up
host A $A
host B $B
ns_add C
wire sw pC C eth0
on_ip sw link set pC master br0
on_ip C addr add $C/24 dev eth0
sandbox A As 10.0.0.2 172.18.0.2
sandbox A A1 10.0.0.6 172.18.0.3
sandbox A A2 10.0.0.7 172.18.0.4
sandbox B Bs 10.0.0.3 172.18.0.2
sandbox B B1 10.0.0.8 172.18.0.3
sandbox B B2 10.0.0.9 172.18.0.4
for ip in 10.0.0.3 10.0.0.8 10.0.0.9; do peer Aov $ip $B; done
for ip in 10.0.0.2 10.0.0.6 10.0.0.7; do peer Bov $ip $A; done

# B2 is as stock makes a task: it redirects, and knows no way back but by its own node.
in_ns B2 nft -f - <<'RULES'
table ip stock { chain pre { type nat hook prerouting priority -100;
  ip daddr 10.0.0.9 tcp dport 8080 redirect to :80; ip daddr 10.0.0.9 udp dport 8080 redirect to :80; }; }
RULES
for task in A1 A2 B1 B2; do
  exec_in_ns $task "$mesh" serve 80 $task &
  programs+=($!)
  eventually 60 in_ns $task "$mesh" ask tcp 127.0.0.1 80
done

# node NODE: starts the keeper of the node's mesh. tell NODE LINE...: what is.
declare -A input keeper told
node()
{
  told[$1]=0
  mkfifo "$work/$1.in"
  exec_in_ns "$1" "$mesh" node <"$work/$1.in" >"$work/$1.out" 2>&1 &
  programs+=($!)
  keeper[$1]=$!
  exec {fd}>"$work/$1.in"
  input[$1]=$fd
}
ns_path() { echo "/run/netns/$id$1"; }
has_done() { grep -qx "done $2" "$work/$1.out"; }
tell()
{
  local node=$1; shift
  told[$node]=$((told[$node] + 1))
  printf '%s\n' "$@" go >&"${input[$node]}"
  eventually 60 has_done "$node" "${told[$node]}"
}
row_of() { sed -n 's/^row //p' "$work/$1.out" | tail -1; }

# What each node says is, for a service on these backends.
facts_A()
{
  tell A "host gwb 172.18.0.2" "sandbox $(ns_path As) eth0 eth2 10.0.0.2" "service $ports $1" \
    "task $(ns_path A1) eth0 10.0.0.6 $ports" "task $(ns_path A2) eth0 10.0.0.7 $ports" "${@:2}"
}
facts_B()
{
  tell B "host gwb 172.18.0.2" "sandbox $(ns_path Bs) eth0 eth2 10.0.0.3" "service $ports $1" \
    "task $(ns_path B1) eth0 10.0.0.8 $ports" "${@:2}"
}
# seen FROM PROTOCOL ADDRESS PORT WANTED [SOURCE-PORT]: who answered, and whom it saw.
seen()
{
  local got
  got=$(in_ns "$1" "$mesh" ask "$2" "$3" "$4" "${@:6}") || fail "no answer: $*"
  same "$5" "$got" "$2 from $1 to $3:$4"
}

step "before nodes know each other: works, the entry node's address is seen"
node A
node B
facts_A 10.0.0.8@nodeB
facts_B 10.0.0.6@nodeA
seen C tcp $A 8080 "B1 10.0.0.2"
seen C udp $B 8080 "A1 10.0.0.3"

step "they learn of each other in order: task's side first"
row_b=$(row_of B) row_a=$(row_of A)
facts_A 10.0.0.8@nodeB "row nodeB $row_b"
seen C tcp $A 8080 "B1 10.0.0.2"
facts_B 10.0.0.6@nodeA "row nodeA $(row_of A)"
facts_A 10.0.0.8@nodeB "row nodeB $(row_of B)"
[[ $row_a != "$(row_of A)" ]] || fail "A's row did not change with what it knows"

step "the client's own address, remote and local task, TCP and UDP, in by A and by B"
rows_a="row nodeB $(row_of B)" rows_b="row nodeA $(row_of A)"
for protocol in tcp udp; do
  facts_A 10.0.0.8@nodeB "$rows_a"
  facts_B 10.0.0.8 "$rows_b"
  seen C $protocol $A 8080 "B1 $C"
  seen C $protocol $B 8080 "B1 $C"
  facts_A 10.0.0.6 "$rows_a"
  facts_B 10.0.0.6@nodeA "$rows_b"
  seen C $protocol $A 8080 "A1 $C"
  seen C $protocol $B 8080 "A1 $C"
done

step "the same client port in by both nodes at once"
facts_A 10.0.0.8@nodeB "$rows_a"
facts_B 10.0.0.8 "$rows_b"
for i in 1 2; do
  seen C udp $A 8080 "B1 $C" 45000
  seen C udp $B 8080 "B1 $C" 45000
done
# The first connection is still open when the second one comes.
coproc HOLD { exec_in_ns C "$mesh" hold $A 8080; }
holder=$HOLD_PID
read -r -t 60 greeting <&"${HOLD[0]}" || fail "no greeting"
same "B1 $C" "$greeting" "an open connection"
port=$(in_ns C ss -Htn dst $A | awk '{ split($4, a, ":"); print a[2] }')
seen C tcp $B 8080 "B1 $C" "$port"
eval "exec ${HOLD[1]}>&-"
wait "$holder" || fail "the first connection broke"

step "other nodes' hosts, this node's own, localhost"
seen B tcp $A 8080 "B1 $B"
seen A tcp $A 8080 "B1 10.0.0.2"
seen A tcp 127.0.0.1 8080 "B1 10.0.0.2"
seen A udp 127.0.0.1 8080 "B1 10.0.0.2"

step "containers: their own node (also when they are chosen themselves), and another node"
facts_A 10.0.0.6 "$rows_a"
seen A1 tcp $A 8080 "A1 10.0.0.2"
seen A1 udp $A 8080 "A1 10.0.0.2"
seen A2 tcp 172.18.0.1 8080 "A1 10.0.0.2"
seen A2 tcp $B 8080 "B1 $A"

step "stock-like: a task that brings nothing back, an entry that always hides"
facts_A 10.0.0.9@stock "$rows_a"
seen C tcp $A 8080 "B2 10.0.0.2"
seen C udp $A 8080 "B2 10.0.0.2"
in_ns Bs nft -f - <<'RULES'
table ip stock { chain post { type nat hook postrouting priority 90; oifname "eth0" snat to 10.0.0.3; }; }
RULES
seen C tcp $B 8080 "B1 10.0.0.3"
seen C udp $B 8080 "B1 10.0.0.3"
in_ns Bs nft delete table ip stock

step "nothing but published ports on the ingress network"
in_ns A2 timeout 1 "$mesh" ask tcp 10.0.0.6 80 >/dev/null 2>&1 && fail "a task reaches another directly"

step "a closed port refuses; so does a UDP port; a service without tasks does"
facts_A 10.0.0.8@nodeB "service 6:8081:81,17:8081:81 10.0.0.8@nodeB" "service 6:8082:82" "$rows_a"
facts_B 10.0.0.8 "$rows_b"
tell B "host gwb 172.18.0.2" "sandbox $(ns_path Bs) eth0 eth2 10.0.0.3" "service $ports 10.0.0.8" \
  "task $(ns_path B1) eth0 10.0.0.8 $ports,6:8081:81,17:8081:81" "$rows_b"
refused 'Connection refused' in_ns C "$mesh" ask tcp $A 8081
refused 'Connection refused' in_ns C "$mesh" ask udp $A 8081
refused 'Connection refused' in_ns C "$mesh" ask tcp $A 8082

step "5 MB each way, and path MTU both ways"
exec_in_ns B1 "$mesh" push 81 &
programs+=($!)
eventually 60 in_ns C "$mesh" pull $A 8081 1000
in_ns C timeout 60 "$mesh" pull $A 8081 5000000 || fail "5 MB from the task"
in_ns A ip route add $C/32 dev eth0 mtu 1300
in_ns C timeout 60 "$mesh" pull $A 8081 5000000 || fail "5 MB over a narrow way"
in_ns A ip route del $C/32 dev eth0 mtu 1300
in_ns C ping -c 1 -W 30 -M "do" -s 1472 $A >/dev/null || fail "the underlay takes 1500"
# 1472 bytes of UDP with DF: too much for the overlay, and C is told by A.
in_ns C python3 - $A <<'PY' || fail "C does not learn the path MTU"
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: do
s.connect((sys.argv[1], 8080))
s.send(b"x" * 1472)
for _ in range(600):
    if s.getsockopt(socket.IPPROTO_IP, 14) == 1450:  # IP_MTU
        break
    time.sleep(0.1)
else:
    sys.exit(1)
s.settimeout(60)
s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the news itself is an error
s.send(b"x" * 1422)
s.recv(100)
PY

step "a drained task keeps what is open and gets nothing new; a task that is gone is cut off"
facts_A "10.0.0.8@nodeB" "$rows_a"
coproc OPEN { exec_in_ns C "$mesh" hold $A 8080; }
programs+=("$OPEN_PID")
read -r -t 60 greeting <&"${OPEN[0]}" || fail "no greeting"
same "B1 $C" "$greeting" "an open connection"
speak() { echo "$1" >&"${OPEN[1]}"; read -r -t 60 answer <&"${OPEN[0]}" || answer=nothing; }
facts_A "10.0.0.8!@nodeB 10.0.0.6" "$rows_a"
speak drained; same drained "$answer" "the open connection"
for i in 1 2 3 4 5 6; do seen C tcp $A 8080 "A1 $C"; done
facts_A "10.0.0.6" "$rows_a"
speak gone; [[ $answer == broken* ]] || fail "the connection to a task that is gone lives: $answer"

step "others find the port in use; it is free again afterwards"
held() { ! in_ns A python3 -c 'import socket,sys
s = socket.socket(socket.AF_INET, int(sys.argv[1])); s.bind(("", 8080))' "$1" 2>/dev/null; }
held 1 || fail "TCP 8080 can be bound"
held 2 || fail "UDP 8080 can be bound"

step "rules flushed on the host come back within a second"
in_ns A nft flush ruleset
back() { in_ns C timeout 2 "$mesh" ask tcp $A 8080; }
eventually 60 back
in_ns A nft delete table ip skep_ingress
eventually 60 back
kept=$(in_ns A nft list table ip skep_ingress | grep -c 'comment "skep-')
((kept >= 6)) || fail "only $kept rules are back"
in_ns A nft -f - <<'RULES'
table ip gateway { chain post { type nat hook postrouting priority 100;
  ip saddr 172.18.0.0/16 oifname != "gwb" masquerade; }; }
RULES

step "a new life finds everything as it is and changes nothing"
handles() { in_ns A nft -a list table ip skep_ingress | grep handle; in_ns A1 nft -a list table ip skep_task | grep handle; }
before=$(handles)
kill "${keeper[A]}"
wait "${keeper[A]}" || true
rm "$work/A.in" "$work/A.out"
node A
# What it does not know in the first moment it does not take away.
tell A partial "host gwb 172.18.0.2" "sandbox $(ns_path As) eth0 eth2 10.0.0.2" "task $(ns_path A1) eth0 10.0.0.6 $ports"
same "$before" "$(handles)" "rules after a restart, before all is known"
seen C tcp $A 8080 "A1 $C"
facts_A "10.0.0.6" "$rows_a"
same "$before" "$(handles)" "rules after a restart"
seen C tcp $A 8080 "A1 $C"

step "unpublished: the rules are gone, the port is free"
tell A "host gwb 172.18.0.2"
in_ns A nft list table ip skep_ingress >/dev/null 2>&1 && fail "the host's rules are still there"
held 1 && fail "TCP 8080 is still held"
true
