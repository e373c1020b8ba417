#!/bin/bash
# One overlay network across two nodes of skepd and a stock dockerd, led by skepd: everybody reaches
# everybody by address and name, endpoints come and go, a node dies and comes back; forwarding rows are right
# within seconds, and none is left.
# ctest: TIMEOUT 300
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker dockerd conmon crun umoci busybox nft bridge
ENDPOINTS=${ENDPOINTS:-12} # 100 is the drill
lab_up 3
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }

pins() { if [[ $1 == h3 ]]; then echo /run/docker/netns; else echo "$LAB/$1/exec/netns"; fi; }
# The namespaces of a host's containers, and that of its overlay.
# (Stock engines leave files that pin nothing.)
sandboxes()
{
  on "$1" sh -c "cd $(pins "$1") && for n in *; do [ \$(stat -f -c %T \$n) != nsfs ] || echo \$n; done" |
    grep -v '^1-\|ingress\|^lb_\|default' || true
}
overlay_of() { on "$1" sh -c "ls $(pins "$1")/ | grep '^1-' | while read -r n; do
  nsenter --net=$(pins "$1")/\$n ip -4 addr show br0 | grep -q 10.20.0.1/ && echo \$n; done"; }
enter() { local host=$1 name=$2; shift 2; on "$host" nsenter --net="$(pins "$host")/$name" -- "$@"; }
address_of() { enter "$1" "$2" ip -4 -o addr show | sed -n 's|.* inet \(10\.20\.0\.[0-9]*\)/24 .*|\1|p'; }
addresses() { local name; for name in $(sandboxes "$1"); do address_of "$1" "$name"; done; }

step "two nodes of skepd, one of dockerd, one swarm, one network"
skep_start h1
skep_start h2
stock_start h3
stock_image h3
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
stock h3 swarm join --token "$token" --advertise-addr "$(ip_of h3)" "$(ip_of h1):2377" >/dev/null
# A task goes to nodes that are ready: who counts tasks waits for that.
ready() { [[ $(manager node ls --format '{{.Status}}' | grep -c '^Ready$') == "$1" ]]; }
eventually 60 ready 3
manager network create --driver overlay --subnet 10.20.0.0/24 blue >/dev/null
manager service create --detach --quiet --name web --network blue --replicas 6 --no-resolve-image \
  --stop-grace-period 1s "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
eventually 60 replicas web 6/6

step "everybody reaches everybody"

reach()
{
  local host name to all
  mapfile -t all < <(for host in "$@"; do addresses "$host"; done)
  for host in "$@"; do for name in $(sandboxes "$host"); do for to in "${all[@]}"; do
    enter "$host" "$name" ping -c 1 -W 2 "$to" >/dev/null || { echo "$host $name to $to"; return 1; }
  done; done; done
}
eventually 60 reach h1 h2 h3
same 6 "$({ addresses h1; addresses h2; addresses h3; } | sort -u | wc -l)" "addresses"

step "names: the stock node finds our tasks, we find its"
names() { [[ $("$1" "$2" exec "$("$1" "$2" ps -q | sed -n 1p)" nslookup tasks.web. 127.0.0.11 2>/dev/null | grep -c "Address.*10\.20\.0\.") == 6 ]]; }
eventually 60 names stock h3
eventually 60 names skep h1

# rows HOST: MAC addresses that the host sends into tunnels. Those of nodes' own addresses stand beside the
# tasks', so tasks' rows are told by their last byte.
rows() { enter "$1" "$(overlay_of "$1")" bridge fdb show dev vxlan0 | awk '/ dst / {print $1}' | sort; }
mac_of() { local IFS=. part; read -ra part <<<"$1"; printf "02:42:%02x:%02x:%02x:%02x\n" "${part[@]}"; }
# right HOST OTHER...: the host has rows for all tasks of the others, and none for a task that is not.
right()
{
  local host=$1 other address have; shift
  have=$(rows "$host")
  for other in "$@"; do for address in $(addresses "$other"); do
    grep -q "$(mac_of "$address")" <<<"$have" || { echo "$host lacks $address"; return 1; }
  done; done
  # No more rows than their tasks and one address of each node.
  (($(wc -l <<<"$have") <= $(for other in "$@"; do addresses "$other"; done | wc -l) + $#)) ||
    { echo "$host has stale rows: $have"; return 1; }
}
step "endpoints come and go"
manager service scale --detach "web=$ENDPOINTS" >/dev/null
eventually $((60 + 3 * ENDPOINTS)) replicas web "$ENDPOINTS/$ENDPOINTS"
eventually 60 right h1 h2 h3
eventually 60 right h2 h1 h3
((ENDPOINTS > 20)) || eventually 60 reach h1 h2 h3
manager service scale --detach web=4 >/dev/null
eventually $((60 + 3 * ENDPOINTS)) replicas web 4/4
eventually 60 right h1 h2 h3
eventually 60 right h2 h1 h3
eventually 60 reach h1 h2 h3

step "network keys are renewed on demand: gossip and the network go on"
keys_changed() { grep -c 'gossip key changed' "$LAB/$1/skepd.log" || true; }
before1=$(keys_changed h1) before2=$(keys_changed h2)
"$SKEP_BUILD/skep" --host "unix://$LAB/h1/skep.sock" swarm update --rotate-network-keys >/dev/null
renewed() { (($(keys_changed "$1") > $2)); }
eventually 60 renewed h1 "$before1"
eventually 60 renewed h2 "$before2"
manager service scale --detach web=6 >/dev/null
eventually 60 replicas web 6/6
eventually 60 right h1 h2 h3
eventually 60 right h2 h1 h3
eventually 60 reach h1 h2 h3

step "a node dies: its rows go everywhere; it returns, and they come"
manager swarm update --dispatcher-heartbeat 1s >/dev/null
cut_link h2
lost() { ! rows "$1" | grep -q "$(mac_of "$2")"; }
gone=$(addresses h2 | sed -n 1p)
eventually 60 lost h1 "$gone"
heal_link h2
eventually 60 replicas web 6/6
eventually 60 right h1 h2 h3
eventually 60 right h2 h1 h3
eventually 60 reach h1 h2 h3
if grep -iE 'level=(error|warning).*(decode|decrypt|unmarshal|invalid peer)' "$LAB/h3/dockerd.log"; then
  fail "the stock node does not understand our rows"
fi
