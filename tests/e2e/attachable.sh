#!/bin/bash
# Containers that users make on networks of the swarm that are attachable: they reach each other across
# two nodes by name, and services; their addresses are given back when they end, and a restart of skepd
# keeps them.
# ctest: TIMEOUT 300
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft
lab_up 2
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
address() { skep "$1" inspect -f '{{.NetworkSettings.Networks.shared.IPAddress}}' "$2"; }
reaches() { skep "$1" exec "$2" ping -c 1 -W 2 "$3" >/dev/null 2>&1; }

step "two nodes, one swarm, networks that are attachable and not"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
manager network create --driver overlay --attachable --subnet 10.30.0.0/24 shared >/dev/null
manager network create --driver overlay private >/dev/null
manager service create --detach --quiet --name web --network shared "$LAB_IMAGE" sleep 1000 >/dev/null

step "a container on each node, by name and alias"
skep h1 run -d --name one --network shared "$LAB_IMAGE" sleep 1000 >/dev/null
skep h2 run -d --name two --network shared --ip 10.30.0.77 --network-alias second "$LAB_IMAGE" sleep 1000 >/dev/null
same 10.30.0.77 "$(address h2 two)" "the fixed address"
[[ $(address h1 one) == 10.30.0.* ]] || fail "inspect: $(address h1 one)"
for name in two second "$(skep h2 inspect -f '{{.Id}}' two | head -c 12)"; do
  eventually 10 reaches h1 one "$name"
done
eventually 10 reaches h2 two one
[[ $(skep h1 exec one cat /etc/hosts) == *"$(address h1 one)"* ]] || fail "hosts file"

step "a service by its name, and the way out"
eventually 40 replicas web 1/1
eventually 10 reaches h1 one web
eventually 10 reaches h2 two web
reaches h2 two "$(ip_of h1)" || fail "no way out"

step "what is refused"
refused 'not manually attachable' skep h2 run --rm --network private "$LAB_IMAGE" true
refused 'network nowhere not found' skep h2 run --rm --network nowhere "$LAB_IMAGE" true
refused 'cannot be published' skep h2 run --rm -p 81:81 --network shared "$LAB_IMAGE" true
skep h2 run -d --name local "$LAB_IMAGE" sleep 1000 >/dev/null
refused 'only one' skep h2 network connect shared local
refused 'in use' manager network rm shared

step "skepd goes and comes again"
skep_stop h2
skep_start h2
eventually 10 reaches h1 one two
kept() { [[ $(address h2 two) == 10.30.0.77 ]]; }
eventually 15 kept

step "a restart attaches anew, with the same address"
skep h2 restart -t 0 two >/dev/null
same 10.30.0.77 "$(address h2 two)" "the address"
eventually 10 reaches h1 one two

step "disconnected and removed: the addresses are free, and nothing is left"
skep h2 network disconnect shared two
reaches h1 one 10.30.0.77 && fail "still there after disconnect"
is_free() { skep h1 run --rm --network shared --ip 10.30.0.77 "$LAB_IMAGE" true >/dev/null 2>&1; }
eventually 10 is_free
skep h2 rm -f two local >/dev/null
skep h1 rm -f one >/dev/null
manager service rm web >/dev/null
unused() { manager network rm shared >/dev/null 2>&1; }
eventually 20 unused
quiet() { [[ $(on "$1" ls "$LAB/$1/exec/netns" | grep -cv '^ingress\|^1-') == 0 ]]; }
eventually 20 quiet h1
eventually 20 quiet h2
