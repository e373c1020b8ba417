#!/bin/bash
# Our gossip among two stock engines of a swarm: they take us for a member, rows go both ways, a node
# that dies takes its rows along and brings them back, keys rotate, and nobody's log complains.
# ctest: COST 40
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker
lab_up 3

program=$SKEP_BUILD/tests/interop/interop_gossip_stock
dir=$LAB/h3/gossip
agent=$LAB/h3/agent
mkdir -m 700 "$dir" "$agent"
mkfifo "$dir/commands"

step "a stock manager, a stock worker, and our worker"
stock_start h1 --debug
stock_start h2 --debug
stock_image h2
stock h1 swarm init --advertise-addr "$(ip_of h1)" --availability drain >/dev/null
token=$(stock h1 swarm join-token --quiet worker)
stock h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
id=$(on h3 "$SKEP_BUILD/tests/interop/interop_agent_stock" join "$agent" "$(ip_of h1):2377" "$token")
begin() { start h3 gossip "$program" "$agent" "$dir" "$(ip_of h3)"; }
begin
tell() { echo "$*" >"$dir/commands"; }
members() { awk '{print $2}' "$dir/members" 2>/dev/null | sort | tr '\n' ' '; }
sees() { [[ $(members) == "$1" ]]; }
site() { echo "$(ip_of "$1"):7946"; }
eventually 60 sees "$(site h1) $(site h2) $(site h3) "
in_sequence stock h1 node update --availability drain "$id" >/dev/null

step "rows of a stock node's containers arrive"
stock h1 network create --driver overlay --attachable --subnet 10.9.0.0/24 front >/dev/null
net=$(stock h1 network inspect front --format '{{.Id}}')
stock h2 run --detach --name one --network front "$LAB_IMAGE" sleep 1000 >/dev/null
tell join "$net"
rows() { grep -c "^$net $1 [0-9a-f]* $(site "$2") " "$dir/rows" || true; }
has_rows() { [[ $(rows "$1" "$2") == "$3" ]]; }
eventually 60 has_rows endpoint_table h2 1
# Of the container and of the network's own endpoint for balancing.
eventually 60 has_rows overlay_peer_table h2 2
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
# field NUMBER TEXT: a text of a protobuf message.
field() { printf '%02x%02x' $(($1 << 3 | 2)) ${#2}; hex "$2"; }
grep -q "^$net endpoint_table [0-9a-f]* $(site h2) $(field 1 one)" "$dir/rows" ||
  fail "the endpoint's record: $(<"$dir/rows")"

step "our rows arrive at the stock nodes: forwarding, neighbours, names, peers"
key=5e4b0000000000000000000000000000000000000000000000000000000000ed
publish()
{
  tell put "$net" overlay_peer_table $key "$(field 1 10.9.0.77/24)$(field 2 02:42:0a:09:00:4d)$(field 3 "$(ip_of h3)")"
  tell put "$net" endpoint_table $key "$(field 1 skepbox)$(field 4 '<nil>')$(field 5 10.9.0.77)"
}
publish
inside() { on h2 nsenter --net="/run/docker/netns/1-${net:0:10}" "$@"; }
knows_peer()
{
  inside bridge fdb show | grep -q "^02:42:0a:09:00:4d dev vxlan0 dst $(ip_of h3) " &&
    inside ip neigh show | grep -q '^10.9.0.77 dev vxlan0 lladdr 02:42:0a:09:00:4d PERMANENT'
}
knows_no_peer() { ! inside bridge fdb show | grep -q '^02:42:0a:09:00:4d dev vxlan0 dst'; }
resolves() { [[ $(stock h2 exec one nslookup skepbox 127.0.0.11 2>&1) == *10.9.0.77* ]]; }
resolves_not() { ! resolves; }
eventually 60 knows_peer
eventually 60 resolves
stock h2 network inspect front --format '{{range .Peers}}{{.IP}} {{end}}' | grep -q "$(ip_of h3)" ||
  fail "the stock node lists no peer at $(ip_of h3)"

step "keys rotate here first: nothing is lost"
tell rotate
tell remove "$net" overlay_peer_table $key
tell remove "$net" endpoint_table $key
eventually 60 knows_no_peer
eventually 60 resolves_not
publish
eventually 60 knows_peer
eventually 60 resolves

step "the stock node dies hard: its rows go; it comes back, and so do they"
kill9 h2 dockerd
eventually 60 has_rows overlay_peer_table h2 0
eventually 60 has_rows endpoint_table h2 0
stock_start h2 --debug
# (It may have started by itself, and may have to wait until the node is in the swarm again.)
starts_again() { stock h2 start one; }
eventually 60 starts_again
eventually 60 has_rows endpoint_table h2 1
eventually 60 has_rows overlay_peer_table h2 2
eventually 60 knows_peer

step "no stock node complains of ours"
broken='decod|marshal|msgType|verify|installed keys|checksum|Truncated|Unsupported|not understood|protocol version'
name=$(sed -n 's/^gossip name //p' "$LAB/h3/gossip.log")
# (A node that the machine lets wait is late, not wrong.)
late='other probes failed|no acks received|suspect|Failed fallback ping|i/o timeout|failed to send'
if grep -E 'level=(warning|error)' "$LAB"/h[12]/dockerd.log | grep -E "$name|$(ip_of h3):7946|from=$(ip_of h3)" |
  grep -Ev "$late"; then
  fail "a stock node complains of ours"
fi
rm "$dir/counters"
tell dump
eventually 60 test -e "$dir/counters"
counted() { awk -v n="$1" '$1 == n {print $2}' "$dir/counters"; }
for counter in drop_unsealed drop_broken drop_conflict drop_version; do
  same 0 "$(counted $counter)" "$counter"
done

step "ours dies hard: its rows go there; a new life brings them again"
kill9 h3 gossip
eventually 60 knows_no_peer
rm "$dir/rows" "$dir/members"
begin
eventually 60 sees "$(site h1) $(site h2) $(site h3) "
tell join "$net"
eventually 60 has_rows endpoint_table h2 1
publish
eventually 60 knows_peer
eventually 60 resolves

step "ours leaves: gone at once"
name=$(sed -n 's/^gossip name //p' "$LAB/h3/gossip.log" | tail -n 1)
stop h3 gossip
eventually 60 knows_no_peer
# At its own word, and not because it was found dead.
grep "$name.* change state NodeActive --> NodeLeft" "$LAB/h2/dockerd.log" >/dev/null ||
  fail "h2 knows of no leave: $(grep "$name" "$LAB/h2/dockerd.log" | tail -n 5)"
if grep -E 'Sanitizer|runtime error|broken invariant' "$LAB/h3/gossip.log"; then fail "ours did not end cleanly"; fi
if grep -i -E "$broken" "$LAB"/h[12]/dockerd.log; then fail "a stock node cannot read something"; fi
