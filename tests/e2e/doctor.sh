#!/bin/bash
# skep doctor: what is broken between two nodes is named, from both sides, with a cure; and nothing is when
# nothing is. Each thing is broken by hand and mended again.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft ip script
lab_up 2
skep_image h1 h2
doctor() { on h1 "$SKEP_BUILD/skep" --host "unix://$LAB/h1/skep.sock" doctor --json >"$LAB/doctor.json"; }
# verdict CHECK: those that rows with that in their check have.
rows() { python3 -c '
import json, sys
for row in json.load(open(sys.argv[1])):
    if sys.argv[2] in row["Check"]: print(row["Verdict"], "|", row["Check"], "|", row["Found"], "|", row["Cure"])' \
  "$LAB/doctor.json" "$1"; }
# names CHECK FOUND: some row of that check is bad, says that, and has a cure; said: the same of the last run.
names() { ! doctor && said "$@"; }
said() {
  rows "$1" | has "^bad | .*$1.* | .*$2.* | ..*" || { cat "$LAB/doctor.json"; return 1; }
}
is_well() { doctor || { cat "$LAB/doctor.json"; return 1; }; }

step "two nodes, one swarm: nothing is wrong"
skep_start h1
skep_start h2
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h2 swarm join --token "$(skep h1 swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null
skep h1 network create --driver overlay --attachable --subnet 10.30.0.0/24 shared >/dev/null
skep h1 run -d --name one --network shared "$LAB_IMAGE" sleep 1000 >/dev/null
skep h2 run -d --name two --network shared "$LAB_IMAGE" sleep 1000 >/dev/null
eventually 60 is_well
for check in "h1 to h2: gossip, TCP" "h1 to h2: gossip, UDP" "h2 to h1: manager, TCP 2377" "h2 to h1: overlay, UDP 4789" \
  "h1 to h2: path MTU" "h1 to h2: checksum offload" "h1 to h2: clock" "h2 to h1: tunnel's source" \
  "h1: network state" "h2: network state" "h1: DNS"; do
  rows "$check" | has '^ok' || { cat "$LAB/doctor.json"; fail "no verdict on $check"; }
done

# broken HOST RULE...: packets that come in and match are dropped, until mend.
broken() {
  on "$1" nft "add table inet broken; add chain inet broken in { type filter hook input priority -400; }; add rule inet broken in ${*:2}"
}
mend() { on "$1" nft delete table inet broken; }

step "ports that are shut"
broken h2 udp dport 4789 drop
broken h2 tcp dport 7946 drop
broken h1 tcp dport 2377 ct state new drop
ports_named()
{
  names "h1 to h2: overlay, UDP 4789" "nothing comes through" && said "h1 to h2: gossip, TCP 7946" "no answer" &&
    said "h2 to h1: manager, TCP 2377" "no answer"
}
eventually 60 ports_named
mend h1
mend h2

step "UDP of gossip alone"
broken h2 udp dport 7946 drop
eventually 60 names "h1 to h2: gossip, UDP 7946" "TCP alone"
mend h2

step "a path that carries less"
link=$(on h2 ip -o route get "$(ip_of h1)" | sed 's/.* dev \([^ ]*\).*/\1/')
on h2 ip link set "$link" mtu 1400
eventually 60 names "h2 to h1: path MTU" "needs 1500 bytes, 1400 pass"
on h2 ip link set "$link" mtu 1500

step "a host whose clock is ahead"
# All hosts here share a clock, so that a program answers in place of the host's kernel.
on h2 nft 'add table inet slow; add chain inet slow in { type filter hook input priority -400; }; add rule inet slow in icmp type timestamp-request drop'
start h2 clock python3 "$(realpath "$(dirname "$0")")/wrong_clock.py" 3600
eventually 60 names "h1 to h2: clock" "3[56][0-9][0-9]\.[0-9]* s ahead of ours"
stop h2 clock
on h2 nft delete table inet slow

step "TCP inside of tunnels that does not get through, as with spoiled checksums"
broken h2 udp dport 4789 @th,312,8 6 drop # the inner protocol
eventually 60 names "h1 to h2: checksum offload" "TCP does not"
mend h2

step "rows and tables that somebody took away, and a firewall of others"
place=$LAB/h1/exec/netns/1-$(skep h1 network inspect -f '{{.Id}}' shared | head -c 10)
rows_to_h2() { on h1 nsenter --net="$place" bridge fdb show dev vxlan0 | grep "dst $(ip_of h2)"; }
row=$(rows_to_h2 | sed -n '1s/ .*//p')
box=$LAB/h1/exec/netns/$(skep h1 inspect -f '{{.Id}}' one | head -c 12)
on h1 nft 'add table inet other; add chain inet other gate { type filter hook forward priority 10; policy drop; }'
blocked() { grep -q "inet other/gate" "$LAB/h1/skepd.log"; }
eventually 60 blocked
# skepd puts back what it misses every 30 s, so it may be quicker than doctor once.
all_named()
{
  on h1 nsenter --net="$place" bridge fdb del "$row" dev vxlan0 dst "$(ip_of h2)" self
  on h1 nsenter --net="$place" ip neigh flush dev vxlan0 nud permanent
  on h1 nsenter --net="$box" nft delete table ip skep_dns
  names "h1: network state" "network shared.*1 forwarding (FDB) rows" && said "h1: network state" "neighbour rows" &&
    said "h1: DNS" "not answered" && said "h1: packet filter" "inet other/gate"
}
eventually 90 all_named
on h1 nft delete table inet other

step "a balancer's table that somebody took away"
skep h1 service create --detach --quiet --name web --network shared --constraint "node.hostname==$(on h1 hostname)" "$LAB_IMAGE" sleep 1000 >/dev/null
balanced() { [[ $(on h1 nsenter --net="$box" nft list map ip skep_lb vips 2>/dev/null) == *"10.30.0."* ]]; }
eventually 60 balanced
balancer_named()
{
  eventually 60 balanced
  on h1 nsenter --net="$box" nft delete table ip skep_lb
  names "h1: network state" "balancer tables"
}
eventually 90 balancer_named

step "tunnels leave from the address that the others were told, whatever routes prefer"
on h1 ip addr add "$LAB_SUBNET.99/24" dev eth0
on h1 ip route add "$(ip_of h2)/32" dev eth0 src "$LAB_SUBNET.99"
on h2 nft "add table inet from; add chain inet from in { type filter hook input priority -400; }
  add rule inet from in ip saddr $(ip_of h1) udp dport 4789 counter
  add rule inet from in ip saddr $LAB_SUBNET.99 udp dport 4789 counter"
two=$(skep h2 inspect -f '{{.NetworkSettings.Networks.shared.IPAddress}}' two)
skep h1 exec one ping -c 3 -W 5 "$two" >/dev/null || fail "no way from one to two"
counted=$(on h2 nft list chain inet from in | sed -n 's/.*counter packets \([0-9]*\) .*/\1/p' | xargs)
[[ $counted == [1-9]*" 0" ]] || fail "packets from the address that was told, and from the other: $counted"
source_ok() { doctor || true; rows "h1 to h2: tunnel's source" | has "^ok .* $(ip_of h1) "; }
eventually 60 source_ok
on h2 nft delete table inet from
on h1 ip route del "$(ip_of h2)/32" dev eth0
on h1 ip addr del "$LAB_SUBNET.99/24" dev eth0

step "a node that is gone"
on h2 ip link set "$link" down
eventually 60 names "h1 to h2: host" "neither"
on h2 ip link set "$link" up

step "the live screen is drawn again and again, until it is left"
script -qec "$SKEP_BUILD/skep -H unix://$LAB/h1/skep.sock top" /dev/null </dev/null >"$LAB/top" 2>&1 &
top=$!
drawn() { (($(grep -ac 'managers reachable' "$LAB/top") >= 3)) || gone "$top"; }
eventually 60 drawn
! gone "$top" || fail "it ended: $(tail -c 300 "$LAB/top")"
kill "$top"
