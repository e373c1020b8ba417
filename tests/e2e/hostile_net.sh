#!/bin/bash
# Hostile containers and hostile machines against the networks of two nodes. A stranger on the wire
# sends frames for an overlay, and gossip: random, oversized, replayed. A container with all the rights
# a container can have on its network forges addresses, wants another network, another container's
# resolver, the host's interfaces; it floods its resolver. Each is tried beside the same thing done
# honestly, so that silence means refusal.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft python3 dig
lab_up 3 # h3 is the stranger
deeds=$(realpath "$(dirname "$0")/hostile_net.py")
skep_image h1 h2
manager() { skep h1 "$@"; }
in_box() { local host=$1 name=$2; shift 2; on "$host" nsenter --net="$(<"$LAB/$host/ns.$name")" -- "$@"; }
# box HOST NAME NETWORK: a container; programs are run in its network namespace, as root.
box()
{
  local id; id=$(skep "$1" run -d --name "$2" --network "$3" "$LAB_IMAGE" sleep 100000)
  echo "$LAB/$1/exec/netns/${id:0:12}" >"$LAB/$1/ns.$2"
}
address() { skep "$1" inspect -f "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}" "$2"; }
mac_of() { local IFS=. part; read -ra part <<<"$1"; printf "02:42:%02x:%02x:%02x:%02x\n" "${part[@]}"; }
eth_of() { in_box "$1" "$2" ip -o addr show | awk -v a="$3/" 'index($4, a) == 1 { print $2 }'; }

step "two nodes, two networks and an internal one, containers on them"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null
manager network create --driver overlay --attachable --subnet 10.40.0.0/24 red >/dev/null
manager network create --driver overlay --attachable --subnet 10.50.0.0/24 blue >/dev/null
manager network create --driver overlay --attachable --internal --subnet 10.60.0.0/24 inside >/dev/null
box h1 bad red
box h1 near red
box h2 far red
box h1 other blue
box h1 inner inside
bad=$(address h1 bad) near=$(address h1 near) far=$(address h2 far) other=$(address h1 other)
for name in near far; do
  host=h1; [[ $name == near ]] || host=h2
  start $host hear-$name nsenter --net="$(<"$LAB/$host/ns.$name")" -- python3 "$deeds" hear "$LAB/heard.$name"
done
hears() { in_box "$1" "$2" python3 "$deeds" tell "$3" "$5"; sleep 0.1; grep -q "^$(address "$1" "$2") $5\$" "$LAB/heard.$4"; }
eventually 60 hears h1 bad "$near" near honest
eventually 60 hears h1 bad "$far" far honest
# silent NAME TEXT: what was sent before an honest message has not arrived when that has.
silent()
{
  eventually 60 hears h1 near "$far" far "after-$2"
  eventually 60 hears h2 far "$near" near "after-$2"
  if grep " $2\$" "$LAB/heard.$1"; then fail "$1 hears: $2"; fi
}

step "security: an encrypted network where the kernel has no ESP is refused, and says why"
if "$SKEP_BUILD/tests/interop/interop_ipsec" probe >/dev/null; then
  echo "(this kernel has it)"
else
  manager network create --driver overlay --attachable --opt encrypted sealed >/dev/null
  refused 'sealed is encrypted, and this kernel cannot' skep h1 run --rm --network sealed "$LAB_IMAGE" true
fi

step "security: VXLAN from a stranger is dropped, and so is a local program's and a container's"
vni=$(manager network inspect red --format '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}')
dropped() { on "$1" nft list counter ip skep_guard "$2" | awk '/packets/ { print $2 }'; }
# A member whose first frames came before the word that it is one has been a stranger too.
before=$(dropped h2 foreign)
on h3 python3 "$deeds" vxlan "$(ip_of h2)" "$vni" "$(mac_of "$far")" "$far" stranger
silent far stranger
(($(dropped h2 foreign) > before)) || fail "the stranger's frame is not counted"
on h1 python3 "$deeds" vxlan "$(ip_of h2)" "$vni" "$(mac_of "$far")" "$far" local 2>/dev/null || true
in_box h1 bad python3 "$deeds" vxlan "$(ip_of h2)" "$vni" "$(mac_of "$far")" "$far" contained || true
# To its own node, whose tunnels would take it for a neighbour's.
in_box h1 bad python3 "$deeds" vxlan "$(ip_of h1)" "$vni" "$(mac_of "$near")" "$near" inward || true
silent far local
silent far contained
silent near inward
(($(dropped h1 forged) >= 1)) || fail "a local program's frame is not counted"
(($(dropped h1 passing) >= 1)) || fail "a container's frame is not counted"

step "security: the guard is back within a second of a flush; without it the frame would get in"
signal h2 skepd STOP
on h2 nft delete table ip skep_guard
got_in()
{
  on h3 python3 "$deeds" vxlan "$(ip_of h2)" "$vni" "$(mac_of "$far")" "$far" unguarded
  grep -q '^10.40.0.99 unguarded$' "$LAB/heard.far"
}
eventually 60 got_in
signal h2 skepd CONT
# What started it on the host stops with it, and has to be told as well.
kill -CONT "$(child_of "$(<"$LAB/h2/skepd.starter")")"
guarded() { on h2 nft list counter ip skep_guard foreign; }
eventually 60 guarded
tables() { on h2 nft list tables | grep skep_ | sort | tr '\n' ' '; }
before=$(tables)
[[ $before == *skep_gateway* ]] || fail "the host's tables: $before"
restored() { [[ $(tables) == "$before" ]] && skep h2 exec far ping -c 1 -W 1 "$(ip_of h1)"; }
eventually 60 restored
began=$(date +%s%N)
on h2 nft flush ruleset
eventually 60 restored
echo "back after $((($(date +%s%N) - began) / 1000000)) ms"
on h3 python3 "$deeds" vxlan "$(ip_of h2)" "$vni" "$(mac_of "$far")" "$far" again
silent far again

step "security: a container cannot speak for another's MAC or IP address"
eth=$(eth_of h1 bad "$bad")
raw() { in_box h1 bad python3 "$deeds" spoof "$eth" "$@"; }
honestly() { raw "$(mac_of "$bad")" "$bad" "$(mac_of "$near")" "$near" raw-honest; grep -q ' raw-honest$' "$LAB/heard.near"; }
eventually 60 honestly
raw "$(mac_of "$bad")" "$far" "$(mac_of "$near")" "$near" forged-ip
raw "$(mac_of "$far")" "$bad" "$(mac_of "$near")" "$near" forged-mac
raw "$(mac_of "$near")" "$near" "$(mac_of "$far")" "$far" forged-both
silent near forged-ip
silent near forged-mac
silent far forged-both

step "security: another network is out of reach, by any way"
reaches() { in_box h1 bad ping -c 1 -W 1 "$other"; }
refused '' reaches
in_box h1 bad ip route add 10.50.0.0/24 dev "$eth"
refused '' reaches
in_box h1 bad ip route del 10.50.0.0/24
in_box h1 bad ip route add 10.50.0.0/24 via 10.40.0.1
refused '' reaches
in_box h1 bad ip route del 10.50.0.0/24
in_box h1 other ping -q -c 1 -W 30 10.50.0.1 >/dev/null || fail "the other network does not work at all"

step "security: another container's resolver is out of reach, and names of other networks do not exist"
# Each question is asked once: an answer that does not come is not asked for again.
ask() { in_box "$1" "$2" dig +tries=1 +time="${DIG_SECONDS:-1}" "${@:3}"; }
known() { [[ $(ask "$1" "$2" +short @127.0.0.11 "$3") == "$4" ]]; }
eventually 60 known h1 other other "$other"
eventually 60 known h1 bad near "$near"
# (A name nobody knows is asked of the host's server, which is not there.)
[[ $(ask h1 bad +short @127.0.0.11 other) != *"$other"* ]] || fail "names cross networks"
refused '' ask h1 bad "@$near" near
# The martian way: its 127.0.0.11 as if it was on the wire.
in_box h1 bad sysctl -qw net.ipv4.conf.all.route_localnet=1
in_box h1 bad ip route add 127.0.0.11 via "$near" dev "$eth" table 99
in_box h1 bad ip rule add pref 0 to 127.0.0.11 dport 53 lookup 99
in_box h1 bad ip rule del pref 0 from all lookup local
in_box h1 bad ip rule add pref 1 from all lookup local
refused '' ask h1 bad @127.0.0.11 near
in_box h1 bad ip rule del pref 0 to 127.0.0.11 dport 53 lookup 99

step "security: of the host a container reaches the swarm's ports, and no API"
ports=(22 80 2375 2376 2377 4243 7946 8080 9323)
gateway=$(in_box h1 bad ip route show default | awk '{ print $3 }')
reached() { in_box h1 bad python3 "$deeds" open "$1" "${ports[@]}" | tr '\n' ' '; }
same "2377 7946 " "$(reached "$(ip_of h1)")" "ports of a manager"
same "2377 7946 " "$(reached "$gateway")" "ports of its gateway bridge"
same "7946 " "$(reached "$(ip_of h2)")" "ports of a worker"
if skep h1 exec bad sh -c 'ls /run/skep /var/run/docker.sock /run/docker.sock' 2>/dev/null; then
  fail "a socket of the host is in a container"
fi

step "security: an internal network's names never leave, whatever is asked"
start h1 names python3 "$deeds" names "$LAB/asked"
leaves() { ask h1 near +short @127.0.0.11 leaves.example.test >/dev/null; grep -qx leaves.example.test "$LAB/asked"; }
eventually 60 leaves
for kind in A AAAA MX TXT ANY PTR; do ask h1 inner @127.0.0.11 "$kind$RANDOM.leaks.example.test" "$kind" >/dev/null || true; done
ask h1 inner @127.0.0.11 +tcp leaks.example.test >/dev/null || true
later() { ask h1 near +short @127.0.0.11 later.example.test >/dev/null; grep -qx later.example.test "$LAB/asked"; }
eventually 60 later
same 0 "$(grep -c leaks "$LAB/asked" || true)" "questions that left"

step "security: one container floods its resolver, another's answers"
in_box h1 bad python3 "$deeds" flood 3 &
flooding=$!
for ((i = 0; i < 20; i++)); do DIG_SECONDS=20 known h1 near bad "$bad" || fail "no answer beside a flood"; done
wait $flooding
eventually 60 known h1 bad near "$near"

step "security: gossip that is forged, oversized, cut or replayed changes nothing"
for host in h1 h2; do eval "before_$host=$(wc -l <"$LAB/$host/skepd.log")"; done
on h1 python3 "$deeds" sniff "$LAB/gossip" "$LAB/enough" &
sniffing=$!
eventually 60 test -e "$LAB/gossip"
box h2 guest red # something worth repeating
guest=$(address h2 guest)
eventually 60 known h1 bad guest "$guest"
skep h2 rm -f guest >/dev/null
forgotten() { [[ $(ask h1 bad +short @127.0.0.11 guest) != *"$guest"* ]]; }
eventually 60 forgotten
touch "$LAB/enough"
wait $sniffing
for host in h1 h2; do
  on h3 python3 "$deeds" junk "$(ip_of $host)"
  (($(on h3 python3 "$deeds" replay "$LAB/gossip" "$(ip_of $host)") >= 3)) || fail "nothing was replayed"
done
box h2 late red
late=$(address h2 late)
eventually 60 known h1 bad late "$late"
forgotten || fail "a replay brings a name back"
# (The name and the way are two rows, and each comes when it comes.)
passes() { in_box h1 bad ping -q -c 1 -W 2 "$late"; }
eventually 60 passes
for host in h1 h2; do
  before=before_$host
  if tail -n "+$((${!before} + 1))" "$LAB/$host/skepd.log" | grep 'gossip node changed' | grep -v 'state=active'; then
    fail "a node was lost"
  fi
done
for host in h1 h2; do alive $host skepd || fail "skepd on $host ended"; done
