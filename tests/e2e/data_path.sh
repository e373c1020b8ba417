#!/bin/bash
# A network of its own for the traffic of containers: --data-path-addr and --data-path-port. What containers
# say to each other goes there and nowhere else; what nodes say to each other does not.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl
lab_up 2
skep_image h1 h2
data_of() { echo "10.88.0.${1#h}"; }
ip link add data0 netns "${LAB_ID}h1" type veth peer name data0 netns "${LAB_ID}h2"
for host in h1 h2; do
  on "$host" ip addr add "$(data_of "$host")/24" dev data0
  on "$host" ip link set data0 up
  # What arrives: on the network of its own, on the hosts' own, and gossip there.
  on "$host" nft "add table inet seen; add chain inet seen in { type filter hook input priority -400; }
    add rule inet seen in iifname data0 ip daddr $(data_of "$host") udp dport 5789 counter comment \"data\"
    add rule inet seen in iifname eth0 udp dport { 4789, 5789 } counter comment \"strays\"
    add rule inet seen in iifname data0 udp dport { 4789, 7946 } counter comment \"strays\"
    add rule inet seen in iifname eth0 udp dport 7946 counter comment \"gossip\""
done
# seen HOST WHAT: how many packets.
seen() { on "$1" nft list chain inet seen in | sed -n "s/.*counter packets \([0-9]*\) .*comment \"$2\"/\1/p" | awk '{n += $1} END {print n}'; }

step "what cannot be is refused"
skep_start h1
skep_start h2
refused 'data path address must be a non-zero IP address or network interface' \
  skep h1 swarm init --advertise-addr "$(ip_of h1)" --data-path-addr 0.0.0.0
refused 'overlay networks are carried over IPv4' skep h1 swarm init --advertise-addr "$(ip_of h1)" --data-path-addr fd00::1
refused 'must be in the range|invalid|1024' skep h1 swarm init --advertise-addr "$(ip_of h1)" --data-path-port 80
same inactive "$(skep h1 info --format '{{.Swarm.LocalNodeState}}')" "what was refused left"

step "two nodes: one names the interface, the other the address"
skep h1 swarm init --advertise-addr "$(ip_of h1)" --data-path-addr data0 --data-path-port 5789 >/dev/null
skep h2 swarm join --token "$(skep h1 swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  --data-path-addr "$(data_of h2)" "$(ip_of h1):2377" >/dev/null
same 5789 "$(skep h1 info --format '{{.Swarm.Cluster.DataPathPort}}')" "the cluster's port"
skep h1 network create --driver overlay --attachable shared >/dev/null
skep h1 run -d --name one --network shared "$LAB_IMAGE" sleep 1000 >/dev/null
skep h2 run -d --name two --network shared "$LAB_IMAGE" sleep 1000 >/dev/null

step "containers reach each other over it alone"
pings() { skep h1 exec one ping -c "$1" -W 5 two >/dev/null && skep h2 exec two ping -c "$1" -W 5 one >/dev/null; }
eventually 60 pings 1
# Five pings each way are ten packets or more, where none of them is lost on a way that has yet to be made.
carries()
{
  local before; before=$(seen h2 data)
  pings 5 || { echo "containers do not reach each other"; return 1; }
  (($(seen h2 data) - before >= 10)) || { echo "packets on the network of their own: $before, then $(seen h2 data)"; return 1; }
}
eventually 60 carries
gossips() { (($(seen h2 gossip) > 0 && $(seen h1 gossip) > 0)); }
eventually 60 gossips

step "so does what the routing mesh passes on"
skep h1 service create --detach --quiet --stop-grace-period 1s --name web --constraint node.hostname==h2 \
  --publish 8080:80 "$LAB_IMAGE" sh -c 'mkdir /w; echo web >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
answers() { [[ $(on "$1" curl -s --max-time 5 "http://127.0.0.1:8080/") == web ]]; }
eventually 60 answers h2
eventually 60 answers h1
skep h1 service rm web >/dev/null

step "skepd goes and comes again, and still knows"
skep_stop h2
skep_start h2
eventually 60 pings 1
doctor_well() { on h1 "$SKEP_BUILD/skep" --host "unix://$LAB/h1/skep.sock" doctor >"$LAB/doctor" || { cat "$LAB/doctor"; return 1; }; }
eventually 60 doctor_well
grep -q 'overlay, UDP 5789' "$LAB/doctor" || fail "doctor asks elsewhere: $(cat "$LAB/doctor")"

step "nothing went another way"
for host in h1 h2; do same 0 "$(seen "$host" strays)" "packets that strayed to $host"; done
