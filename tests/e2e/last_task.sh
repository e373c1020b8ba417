#!/bin/bash
# A service's last task dies with its node: clients on other nodes lose their open connections, new ones are
# refused at once rather than left hanging, before and after a restart of skepd; and the service answers as soon
# as it has a task again.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft python3
lab_up 3
skep_image h1 h2 h3
manager() { skep h1 "$@"; }

step "three nodes: a client on h1, the service's only task on h2, one of another service on h3"
for host in h1 h2 h3; do skep_start $host; done
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
for host in h2 h3; do
  skep $host swarm join --token "$token" --advertise-addr "$(ip_of $host)" "$(ip_of h1):2377" >/dev/null
done
manager network create --driver overlay --attachable --subnet 10.20.0.0/24 blue >/dev/null
serve='mkdir /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w'
for row in "lone h2" "other h3"; do
  read -r name host <<<"$row"
  manager service create --detach --quiet --name "$name" --network blue --constraint "node.hostname==$host" \
    --hostname "$name" "$LAB_IMAGE" sh -c "$serve" >/dev/null 2>&1
done
id=$(skep h1 run -d --name client --network blue "$LAB_IMAGE" sleep 100000)
in_client() { on h1 nsenter --net="$LAB/h1/exec/netns/${id:0:12}" -- "$@"; }
vip_of()
{
  manager service inspect "$1" --format '{{range .Endpoint.VirtualIPs}}{{println .Addr}}{{end}}' |
    sed -n 's|^\(10\.20\.0\..*\)/.*|\1|p'
}
lone=$(vip_of lone) other=$(vip_of other)
# dial VIP: what becomes of a new connection: open, refused, silent.
dial()
{
  in_client python3 -c 'import socket, sys
try: socket.create_connection((sys.argv[1], 80), 5); print("open")
except ConnectionRefusedError: print("refused")
except OSError: print("silent")' "$1"
}
is() { [[ $(dial "$1") == "$2" ]]; }
eventually 60 is "$lone" open
eventually 60 is "$other" open

step "its node's power is cut: the open connection ends, new ones are refused"
manager swarm update --dispatcher-heartbeat 2s >/dev/null
start h1 held nsenter --net="$LAB/h1/exec/netns/${id:0:12}" -- python3 -c 'import socket, sys
s = socket.create_connection((sys.argv[1], 80), 60)
print("connected", flush=True)
s.settimeout(None)
try:
    while True: s.sendall(b"x"); __import__("time").sleep(0.1)
except OSError as error: print("ended:", error, flush=True)' "$lone"
eventually 60 grep -q connected "$LAB/h1/held.log"
host_kill h2
eventually 60 grep -q ended "$LAB/h1/held.log"
eventually 60 is "$lone" refused
same open "$(dial "$other")" "the other service"

step "skepd restarts on the client's node: at no moment is the service unknown, the other is reached all the time"
# It goes on until it is told to stop: each new connection, by how it ended.
start h1 dials nsenter --net="$LAB/h1/exec/netns/${id:0:12}" -- python3 -c 'import os, socket, sys
lone, other, stop = sys.argv[1:]
while not os.path.exists(stop):
    for name, to in ("lone", lone), ("other", other):
        try: socket.create_connection((to, 80), 30).close(); print(name, "open", flush=True)
        except ConnectionRefusedError: print(name, "refused", flush=True)
        except OSError as error: print(name, error, flush=True)' "$lone" "$other" "$LAB/h1/enough"
skep_stop h1
skep_start h1
# A change that came by gossip afterwards shows that the balancer is no more as the restart found it.
in_sequence manager service scale --detach other=2 >/dev/null || fail "the manager takes no commands the moment its node is there"
rows() { in_client nft list map ip skep_lb slots | grep -o "$other \. [0-9]*" | sort -u | wc -l; }
two() { (($(rows) >= 2)); }
eventually 60 two
is "$lone" refused || fail "after the restart a new connection is $(dial "$lone")"
touch "$LAB/h1/enough"
ended() { ! alive h1 dials; }
eventually 60 ended
same "lone refused other open " "$(sort -u "$LAB/h1/dials.log" | tr '\n' ' ')" "what became of connections meanwhile"

step "the node returns: the service has its task, and answers"
host_boot h2
skep_start h2
eventually 60 is "$lone" open
