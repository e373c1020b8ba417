#!/bin/bash
# A manager that advertises an address which is not its host's: a router translates it for others, and for
# nobody behind it, as with the public addresses of rented machines. (A stock manager's own agent never
# leaves its host, either.)
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker nft conmon crun umoci busybox
lab_up 2
PUBLIC=203.0.113.7
skep_image h1 h2
replicas() { [[ $(skep h1 service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
ready() { [[ $(skep "$1" node ls --format '{{.Status}} {{.ManagerStatus}}' | sort | xargs) == "$2" ]]; }
address() { skep "$1" node inspect "$2" --format '{{.Status.Addr}} {{with .ManagerStatus}}{{.Addr}}{{end}}'; }

# What comes in for the public address is h1's; what h1 itself sends there goes nowhere.
on h2 ip route add $PUBLIC via "$(ip_of h1)"
on h1 nft "table ip translated {
  chain in { type nat hook prerouting priority dstnat; ip daddr $PUBLIC dnat to $(ip_of h1); }
  chain out { type filter hook output priority filter; ip daddr $PUBLIC drop; }
}"

step "a swarm is founded at an address that this host cannot reach itself"
skep_start h1
skep_start h2
skep h1 swarm init --advertise-addr $PUBLIC >/dev/null
eventually 60 ready h1 'Ready Leader'
same "$PUBLIC $PUBLIC:2377" "$(address h1 self)" "its address"
skep h1 service create --detach --quiet --name one "$LAB_IMAGE" sleep 100000 >/dev/null
eventually 60 replicas one 1/1

step "others join there, a manager too, and calls through either are answered"
skep h2 swarm join --token "$(skep h1 swarm join-token --quiet manager)" $PUBLIC:2377 >/dev/null
eventually 60 ready h2 'Ready Leader Ready Reachable'
skep h2 service create --detach --quiet --name two --mode global "$LAB_IMAGE" sleep 100000 >/dev/null
eventually 60 replicas two 2/2
same "$PUBLIC $PUBLIC:2377" "$(address h2 h1)" "its address, through the other"

step "after a restart its agent finds its manager again"
skep_stop h1
skep_start h1
eventually 60 ready h1 'Ready Leader Ready Reachable'
same "$PUBLIC $PUBLIC:2377" "$(address h1 self)" "its address"
skep h1 service scale --detach one=3 >/dev/null
eventually 60 replicas one 3/3
