#!/bin/bash
# Ports of a host that lead to its containers, and the guard of the data path port, on real packets:
# from outside, from the host by any of its addresses, from a neighbour and from the container
# itself; ports in use are refused; VXLAN is heard from members alone, and never from local programs.
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft ping python3
ports=$SKEP_BUILD/tests/interop/interop_ports ask=$SKEP_BUILD/tests/interop/interop_mesh
H=198.51.100.1 C=198.51.100.50 X=198.51.100.66
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

id=skepps$$
in_ns() { local name=$1; shift; nsenter --net="/run/netns/$id$name" -- "$@"; }
exec_in_ns() { local name=$1; shift; exec nsenter --net="/run/netns/$id$name" -- "$@"; }
on_ip() { local name=$1; shift; ip -n "$id$name" "$@"; }
ns_add() { ip netns add "$id$1"; made+=("$id$1"); on_ip "$1" link set lo up; }
wire() # NS1 IF1 BRIDGE NS2 ADDRESS: NS2's eth0 on a bridge of NS1
{
  on_ip "$1" link add "$2" type veth peer name eth0 netns "$id$4"
  on_ip "$1" link set "$2" master "$3" up
  on_ip "$4" addr add "$5" dev eth0
  on_ip "$4" link set eth0 up
}
# keep NS NAME ARGUMENT...: starts the program, its input open; its output in $work/NAME.out.
keep()
{
  local ns=$1 name=$2; shift 2
  rm -f "$work/$name.in"
  mkfifo "$work/$name.in"
  exec_in_ns "$ns" "$ports" "$@" <"$work/$name.in" >"$work/$name.out" 2>&1 &
  programs+=($!)
  # shellcheck disable=SC2034 # it is open, that is all
  exec {fd}>"$work/$name.in"
  eventually 60 test -s "$work/$name.out"
}

step "a host H with two containers, a client C and a stranger X outside"
ns_add sw
on_ip sw link add br0 type bridge
on_ip sw link set br0 up
for host in H C X; do ns_add $host; done
wire sw pH br0 H $H/24
wire sw pC br0 C $C/24
wire sw pX br0 X $X/24
on_ip H link add br-one type bridge
on_ip H addr add 172.19.0.1/16 dev br-one
on_ip H link set br-one up
# Where the kernel lets bridges ask the filter, neighbours' addresses stay; it has to work without.
in_ns H sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables' 2>/dev/null || true
for i in 2 3; do
  ns_add c$i
  wire H v$i br-one c$i 172.19.0.$i/16
  on_ip c$i route add default via 172.19.0.1
  exec_in_ns c$i "$ask" serve 80 c$i &
  programs+=($!)
done
keep H one ports br-one 6,0.0.0.0,8080,0,172.19.0.2,80 17,0.0.0.0,8080,0,172.19.0.2,80 \
  6,127.0.0.1,9090,0,172.19.0.2,80 6,0.0.0.0,8080,8090,172.19.0.2,80 6,0.0.0.0,0,0,172.19.0.2,80
has_lines() { (($(wc -l <"$work/$1.out") >= $2)); }
eventually 60 has_lines one 5
same "port 8080 port 8080 port 9090 port 8081" "$(head -4 "$work/one.out" | paste -sd' ')" "the ports"
free=$(sed -n '5s/port //p' "$work/one.out")
((free > 1023)) || fail "no free port was chosen: $free"

seen()
{
  local got
  got=$(in_ns "$1" "$ask" ask "$2" "$3" "$4") || fail "no answer: $*"
  same "$5" "$got" "$2 from $1 to $3:$4"
}
open() { in_ns C timeout 1 "$ask" ask tcp $H 8080; }
eventually 60 open

step "from outside, with the client's address"
seen C tcp $H 8080 "c2 $C"
seen C udp $H 8080 "c2 $C"
seen C tcp $H 8081 "c2 $C"
seen C tcp $H "$free" "c2 $C"
step "from the host"
seen H tcp $H 8080 "c2 $H"
seen H tcp 127.0.0.1 8080 "c2 172.19.0.1"
seen H udp 127.0.0.1 8080 "c2 172.19.0.1"
seen H tcp 127.0.0.1 9090 "c2 172.19.0.1"
refused 'Connection refused' in_ns C "$ask" ask tcp $H 9090
step "from a neighbour, and from the container itself"
seen c3 tcp $H 8080 "c2 172.19.0.1"
seen c2 tcp 172.19.0.1 8080 "c2 172.19.0.1"

step "a port in use is refused, whoever has it"
refused 'Bind for 0.0.0.0:8080 failed: port is already allocated' \
  in_ns H "$ports" ports br-one 6,0.0.0.0,8080,0,172.19.0.3,80 </dev/null
refused 'Bind for 0.0.0.0:8080-8081 failed' in_ns H "$ports" ports br-one 6,0.0.0.0,8080,8081,172.19.0.3,80 </dev/null
in_ns H python3 -c 'import socket; socket.socket().bind(("", 8080))' 2>/dev/null && fail "8080 is not held"

step "a container does not reach the host's loopback"
mac=$(in_ns H cat /sys/class/net/br-one/address 2>/dev/null || on_ip H -j link show br-one | jq -r '.[0].address')
exec_in_ns H python3 - >"$work/loop.out" <<'PY' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7070))
while True:
    print(s.recv(100).decode(), flush=True)
PY
programs+=($!)
listening() { in_ns H ss -Huln | grep -q 127.0.0.1:7070; }
eventually 60 listening
in_ns c3 python3 - "$mac" <<'PY'
import socket, struct, sys
payload = b"container"
udp = struct.pack("!HHHH", 7070, 7070, 8 + len(payload), 0) + payload
def header(check):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, check,
                       socket.inet_aton("172.19.0.3"), socket.inet_aton("127.0.0.1"))
total = sum(struct.unpack("!10H", header(0)))
total = (total & 0xffff) + (total >> 16)
total = (total & 0xffff) + (total >> 16)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
s.bind(("eth0", 0))
s.send(bytes.fromhex(sys.argv[1].replace(":", "")) + b"\2\0\0\0\0\1" + b"\x08\0" +
       header(~total & 0xffff) + udp)
PY
in_ns H python3 -c 'import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"host", ("127.0.0.1", 7070))'
eventually 60 test -s "$work/loop.out"
same host "$(cat "$work/loop.out")" "what reached the host's loopback"

step "flushed rules are back within a second"
in_ns H nft flush ruleset
eventually 60 open

# ---- the guard ---------------------------------------------------------------------------------

step "VXLAN between H and C, guarded on H"
tunnel() # NODE LOCAL REMOTE ADDRESS VNI
{
  on_ip "$1" link add "vx$5" type vxlan id "$5" dstport 4789 local "$2" nolearning
  # As an agent has it: the device lives elsewhere, its socket here.
  ns_add "$1v$5"
  on_ip "$1" link set "vx$5" netns "$id$1v$5"
  on_ip "$1v$5" addr add "$4/24" dev "vx$5"
  on_ip "$1v$5" link set "vx$5" up
  bridge -n "$id$1v$5" fdb append 00:00:00:00:00:00 dev "vx$5" dst "$3" self permanent
}
tunnel H $H $C 10.1.0.1 4097
tunnel C $C $H 10.1.0.2 4097
tunnel X $X $H 10.1.0.3 4097
tunnel H $H $C 10.2.0.1 4098
tunnel C $C $H 10.2.0.2 4098
keep H guard guard member=$C member=$H sealed=4098
dropped() { in_ns H nft list counter ip skep_guard "$1" | awk '/packets/ { print $2 }'; }
in_ns Hv4097 ping -c 1 -W 10 10.1.0.2 >/dev/null || fail "no way to a member"
in_ns Cv4097 ping -c 1 -W 10 10.1.0.1 >/dev/null || fail "no way from a member"

step "a stranger's frames are dropped"
in_ns Xv4097 ping -c 1 -W 1 10.1.0.1 >/dev/null && fail "a stranger gets in"
(($(dropped foreign) > 0)) || fail "the stranger's frames are not counted"

step "clear text for an encrypted network is dropped"
in_ns Cv4098 ping -c 1 -W 1 10.2.0.1 >/dev/null && fail "clear text gets in"
(($(dropped clear) > 0)) || fail "clear text is not counted"

step "local programs cannot speak it, nor containers through the host"
forge() { in_ns "$1" python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(bytes([8, 0, 0, 0, 0, 16, 1, 0]) + b"x" * 42, (sys.argv[1], 4789))' "$2"; }
forge H $C 2>/dev/null || true
(($(dropped forged) > 0)) || fail "a local program's frame went out"
# A container: even with its address translated it would look like a member.
forge c2 $C
(($(dropped passing) > 0)) || fail "a container's frame passed"
forge H $X || fail "others than members are nobody's business"

step "the guard is back within a second of a flush"
in_ns H nft flush ruleset
guarded() { in_ns H nft list counter ip skep_guard foreign; }
# A second is the promise; a loaded machine may take longer.
eventually 60 guarded
in_ns Xv4097 ping -c 1 -W 1 10.1.0.1 >/dev/null && fail "a stranger gets in after a flush"
in_ns Hv4097 ping -c 1 -W 10 10.1.0.2 >/dev/null || fail "no way to a member after a flush"
