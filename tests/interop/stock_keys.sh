#!/bin/bash
# The keys of gossip as a stock leader renews them: every 12 hours, which no test waits for. So the
# leader is a stock dockerd in which that one number, and nothing else, is another: 10 seconds. Our
# agent gets the keys by its session, and rows go both ways when all keys of the beginning are gone.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker python3
lab_up 2 # h1 is stock, h2 ours

dir=$LAB/h2/gossip
agent=$LAB/h2/agent
mkdir -m 700 "$dir" "$agent"
mkfifo "$dir/commands"

# hasty FILE: a dockerd in a hurry. Fails when the number is not there, or not just once.
hasty()
{
  python3 - "$(command -v dockerd)" "$1" <<'PY'
import struct, sys
hours = struct.pack("<q", 12 * 3600 * 10**9)
program = open(sys.argv[1], "rb").read()
if program.count(hours) != 1:
    sys.exit(1)
with open(sys.argv[2], "wb") as out:
    out.write(program.replace(hours, struct.pack("<q", 10 * 10**9)))
PY
  chmod 755 "$1"
}
mkdir "$LAB/bin"
hasty "$LAB/bin/dockerd" || skip "this dockerd says 12 hours in another way"

step "a stock manager in a hurry, and our worker"
PATH=$LAB/bin:$PATH stock_start h1
stock_image h1
stock h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(stock h1 swarm join-token --quiet worker)
id=$(on h2 "$SKEP_BUILD/tests/interop/interop_agent_stock" join "$agent" "$(ip_of h1):2377" "$token")
start h2 gossip "$SKEP_BUILD/tests/interop/interop_gossip_stock" "$agent" "$dir" "$(ip_of h2)"
tell() { echo "$*" >"$dir/commands"; }
site() { echo "$(ip_of "$1"):7946"; }
sees_both() { [[ $(awk '{ print $2 }' "$dir/members" | sort | tr '\n' ' ') == "$(site h1) $(site h2) " ]]; }
eventually 60 sees_both
in_sequence stock h1 node update --availability drain "$id" >/dev/null

step "rows go both ways"
stock h1 network create --driver overlay --attachable --subnet 10.9.0.0/24 front >/dev/null
net=$(stock h1 network inspect front --format '{{.Id}}')
stock h1 run --detach --name one --network front "$LAB_IMAGE" sleep 1000 >/dev/null
tell join "$net"
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
# field NUMBER TEXT: a text of a protobuf message.
field() { printf '%02x%02x' $(($1 << 3 | 2)) ${#2}; hex "$2"; }
has_row() { grep -q "^$net endpoint_table [0-9a-f]* $(site h1) $(field 1 "$1")" "$dir/rows"; }
# publish NAME NUMBER: a name of ours at 10.9.0.NUMBER.
publish() { tell put "$net" endpoint_table "$(printf %064x "$2")" "$(field 1 "$1")$(field 4 '<nil>')$(field 5 "10.9.0.$2")"; }
resolves() { [[ $(stock h1 exec one nslookup "$1" 127.0.0.11 2>&1) == *"10.9.0.$2"* ]]; }
eventually 60 has_row one
publish before 77
eventually 60 resolves before 77

step "each key is replaced, and more than once"
key() { grep -o ' key=[0-9]*' "$LAB/h2/gossip.log" | tail -n 1 | cut -d= -f2; }
first=$(sed -n 's/.*gossip starts .* key=//p' "$LAB/h2/gossip.log")
renewed() { (($(key) >= first + 4)); }
eventually 120 renewed
eventually 60 sees_both

step "rows go both ways"
stock h1 run --detach --name two --network front "$LAB_IMAGE" sleep 1000 >/dev/null
eventually 60 has_row two
publish after 78
eventually 60 resolves after 78
eventually 60 resolves before 77
