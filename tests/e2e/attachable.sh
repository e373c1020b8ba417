#!/bin/bash
# Containers that users make on networks of the swarm that are attachable: they reach each other across
# two nodes by name, and services; their addresses are given back when they end, and a restart of skepd
# keeps them.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft python3
lab_up 2
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
address() { skep "$1" inspect -f '{{.NetworkSettings.Networks.shared.IPAddress}}' "$2"; }
reaches() { skep "$1" exec "$2" ping -c 1 -W 2 "$3" >/dev/null 2>&1; }

step "two nodes, one swarm, networks that are attachable and not"
skep_start h1
skep_start h2 --metrics-addr 127.0.0.1:9323
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
manager network create --driver overlay --attachable --subnet 10.30.0.0/24 shared >/dev/null
manager network create --driver overlay private >/dev/null
manager service create --detach --quiet --stop-grace-period 1s --name web --network shared "$LAB_IMAGE" sleep 1000 >/dev/null

step "a container on each node, by name and alias"
skep h1 run -d --name one --network shared "$LAB_IMAGE" sleep 1000 >/dev/null
skep h2 run -d --name two --network shared --ip 10.30.0.77 --network-alias second "$LAB_IMAGE" sleep 1000 >/dev/null
same 10.30.0.77 "$(address h2 two)" "the fixed address"
[[ $(address h1 one) == 10.30.0.* ]] || fail "inspect: $(address h1 one)"
for name in two second "$(skep h2 inspect -f '{{.Id}}' two | head -c 12)"; do
  eventually 60 reaches h1 one "$name"
done
eventually 60 reaches h2 two one
[[ $(skep h1 exec one cat /etc/hosts) == *"$(address h1 one)"* ]] || fail "hosts file"

step "a service by its name, and the way out"
eventually 60 replicas web 1/1
eventually 60 reaches h1 one web
eventually 60 reaches h2 two web
eventually 60 reaches h2 two "$(ip_of h1)"

step "what is refused"
refused 'not manually attachable' skep h2 run --rm --network private "$LAB_IMAGE" true
refused 'network nowhere not found' skep h2 run --rm --network nowhere "$LAB_IMAGE" true
refused 'in use' manager network rm shared

step "a running container of the default network is connected, with alias and address"
skep h2 run -d --name local "$LAB_IMAGE" sleep 1000 >/dev/null
plain=$(skep h2 exec local cat /etc/resolv.conf)
refused 'not manually attachable' skep h2 network connect private local
refused 'already exists in network' skep h2 network connect bridge local
skep h2 network connect --alias friend --ip 10.30.0.78 shared local
refused 'already exists in network' skep h2 network connect shared local
same 10.30.0.78 "$(address h2 local)" "the address it asked for"
for name in local friend 10.30.0.78; do
  eventually 60 reaches h1 one "$name"
done
eventually 60 reaches h2 local "$(address h1 one)"
eventually 60 reaches h2 local one # which the default network has no names for
one_way()
{
  local routes; routes=$(skep h2 exec "$1" ip -4 route)
  [[ $(grep -c ^default <<<"$routes") == 1 ]] || { echo "not one way out: $routes"; return 1; }
  reaches h2 "$1" "$(ip_of h1)" || { echo "no way out: $routes"; return 1; }
}
eventually 60 one_way local

step "two overlays and a local network, from the start and one by one, and ports besides"
manager network create --driver overlay --attachable --subnet 10.31.0.0/24 other >/dev/null
skep h2 network create near >/dev/null
skep h2 create --name many --network shared -p 18080:80 "$LAB_IMAGE" sh -c 'mkdir -p /www && echo many >/www/index.html && exec httpd -f -p 80 -h /www' >/dev/null
skep h2 network connect --ip 10.31.0.55 other many
skep h2 network connect --alias close near many
skep h2 start many >/dev/null
same 10.31.0.55 "$(skep h2 inspect -f '{{.NetworkSettings.Networks.other.IPAddress}}' many)" "the second overlay"
eventually 60 one_way many
skep h1 run -d --name far --network other "$LAB_IMAGE" sleep 1000 >/dev/null
eventually 60 reaches h1 far many
eventually 60 reaches h1 one many
skep h2 run -d --name beside --network near "$LAB_IMAGE" sleep 1000 >/dev/null
for name in one far beside; do
  eventually 60 reaches h2 many "$name"
done
eventually 60 reaches h2 beside close
serves() { [[ $(on h1 curl -sm 2 "$(ip_of h2):$1") == "$2" ]]; }
eventually 60 serves 18080 many
[[ $(skep h2 port many) == *'80/tcp -> 0.0.0.0:18080'* ]] || fail "port: $(skep h2 port many)"
skep h2 network disconnect other many
reaches h1 far 10.31.0.55 && fail "still on the network it was taken from"
skep h2 network disconnect near many
eventually 60 one_way many
eventually 60 reaches h2 many one
skep h2 network connect near many
skep h2 network connect other many
on_other() { skep h2 inspect --format "{{(index .NetworkSettings.Networks \"other\").$1}}" many; }
same "$(on_other IPAddress)" "$(on_other IPAMConfig.IPv4Address)" "the address that the swarm gave, as inspect has it"
eventually 60 reaches h1 far many
eventually 60 reaches h2 many beside

step "macvlan and ipvlan beside an overlay: connected, led out by it, and back"
skep h2 network create -d macvlan -o parent=eth0 --subnet "$LAB_SUBNET.0/24" --ip-range "$LAB_SUBNET.192/26" \
  --gateway "$(ip_of h1)" wire >/dev/null
leads() { [[ $(skep h2 exec "$1" ip -4 route) == *"default via $2 "* ]] || { skep h2 exec "$1" ip -4 route; return 1; }; }
skep h2 network connect --ip "$LAB_SUBNET.200" wire local
same "$LAB_SUBNET.200" "$(skep h2 inspect -f '{{.NetworkSettings.Networks.wire.IPAddress}}' local)" "the address on the wire"
hears() { on h1 ping -c 1 -W 2 "$LAB_SUBNET.200" >/dev/null; }
eventually 60 hears
eventually 60 reaches h2 local one
eventually 60 one_way local
skep h2 run -d --name wired --network wire "$LAB_IMAGE" sleep 1000 >/dev/null
leads wired "$(ip_of h1)"
skep h2 network connect --alias cable shared wired
leads wired "$(ip_of h1)" # an overlay leads nobody out who has another way
eventually 60 one_way wired
eventually 60 reaches h1 one cable
eventually 60 reaches h2 wired one
skep h2 network disconnect wire wired
eventually 60 one_way wired
leads wired "$(ip_of h1)" && fail "the wire still leads out"
eventually 60 reaches h1 one cable
skep h2 network connect wire wired
leads wired "$(ip_of h1)"
skep h2 network disconnect shared wired
leads wired "$(ip_of h1)"
reaches h2 wired "$(address h1 one)" && fail "still on the overlay it was taken from"
skep h2 network disconnect wire local
eventually 60 one_way local
eventually 60 reaches h2 local one
skep h2 rm -f wired >/dev/null
skep h2 network rm wire >/dev/null
skep h2 network create -d ipvlan -o parent=eth0 --subnet "$LAB_SUBNET.0/24" --ip-range "$LAB_SUBNET.192/26" strand >/dev/null
if said=$(skep h2 network connect strand local 2>&1); then
  eventually 60 reaches h2 local one
  eventually 60 one_way local
  skep h2 network disconnect strand local
else
  [[ $said == *ipvlan* || $said == *"ot supported"* ]] || fail "ipvlan: $said"
fi
eventually 60 reaches h2 local one # the network that failed took nothing with it
skep h2 network rm strand >/dev/null

step "ports of a container on nothing but an overlay"
skep h2 run -d --name served --network shared -p 18081:80 "$LAB_IMAGE" sh -c 'mkdir -p /www && echo served >/www/index.html && exec httpd -f -p 80 -h /www' >/dev/null
eventually 60 serves 18081 served
on_h2() { [[ $(on h2 curl -sm 2 127.0.0.1:18081) == served ]]; }
eventually 60 on_h2
[[ $(skep h2 port served) == *'80/tcp -> 0.0.0.0:18081'* ]] || fail "port: $(skep h2 port served)"
refused 'already allocated' skep h2 run --rm --network shared -p 18081:80 "$LAB_IMAGE" true

step "driver options: MTU, VXLAN number, encrypted=false, addresses of others"
option=com.docker.network.driver
manager network create --driver overlay --attachable --subnet 10.33.0.0/24 --aux-address kept=10.33.0.2 \
  --opt $option.mtu=1400 --opt $option.overlay.vxlanid_list=7001 --opt encrypted=false tuned >/dev/null
manager network create --driver overlay --attachable --opt $option.overlay.vxlanid=7002 guides >/dev/null
same "map[kept:10.33.0.2]" "$(manager network inspect -f '{{(index .IPAM.Config 0).AuxiliaryAddresses}}' tuned)" "aux"
# This kernel has no ESP: an encrypted network would be refused.
skep h2 run -d --name t2 --network tuned "$LAB_IMAGE" sleep 1000 >/dev/null
skep h1 run -d --name t1 --network tuned "$LAB_IMAGE" sleep 1000 >/dev/null
skep h2 network connect guides t2
eventually 60 reaches h1 t1 t2
[[ $(skep h2 exec t2 ip link show eth0) == *'mtu 1350 '* ]] || fail "MTU: $(skep h2 exec t2 ip link)"
[[ $(skep h2 inspect -f '{{.NetworkSettings.Networks.tuned.IPAddress}}' t2) != 10.33.0.2 ]] || fail "an address of others"
[[ $(skep h1 inspect -f '{{.NetworkSettings.Networks.tuned.IPAddress}}' t1) != 10.33.0.2 ]] || fail "an address of others"
vni() { on h2 nsenter --net="$LAB/h2/exec/netns/1-$(manager network inspect -f '{{.Id}}' "$1" | head -c 10)" ip -d link show vxlan0; }
[[ $(vni tuned) == *'vxlan id 7001 '* ]] || fail "VXLAN number: $(vni tuned)"
[[ $(vni guides) == *'vxlan id 7002 '* ]] || fail "VXLAN number: $(vni guides)"
skep h2 rm -f t2 >/dev/null
skep h1 rm -f t1 >/dev/null
eventually 60 manager network rm tuned >/dev/null
eventually 60 manager network rm guides >/dev/null

step "what went through is counted, by network, container and port"
figures() { on h2 curl -sf http://127.0.0.1:9323/metrics; }
# counted SAMPLE: some sample that begins so is above zero. The kernel's are those of the look before.
counted() { [[ $(figures) =~ (^|$'\n')$1[^$'\n']*\ [1-9] ]]; }
two=$(skep h2 inspect -f '{{.Id}}' two | head -c 12)
on h1 python3 -c 'import socket, struct, sys
s = socket.create_connection((sys.argv[1], 18081))
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))' "$(ip_of h2)" # closed with a reset
for sample in 'skep_networks' 'skep_sandboxes' 'skep_gossip_members_alive' 'skep_gossip_packets_in_total' \
  'skep_network_sent_bytes_total\{network="shared"' 'skep_network_received_packets_total\{network="shared"' \
  "skep_endpoint_received_bytes_total\\{network=\"shared\",service=\"\",container=\"$two\"" \
 'skep_resolver_questions_total' 'skep_resolver_answered_total' \
  'skep_endpoint_connections_accepted_total' 'skep_port_connections_total\{protocol="tcp",port="18081"' \
  'skep_port_received_bytes_total\{protocol="tcp",port="18081"' 'skep_port_received_packets_total\{protocol="tcp",port="18081"' \
  'skep_port_sent_bytes_total\{protocol="tcp",port="18081"' 'skep_port_sent_packets_total\{protocol="tcp",port="18080"' \
  'skep_port_resets_total\{protocol="tcp",port="18081"'; do
  eventually 60 counted "$sample"
done

step "skepd goes and comes again"
skep h2 run -d --name lucky --network shared -p 80 "$LAB_IMAGE" sleep 100000 >/dev/null
port=$(skep h2 port lucky)
skep_stop h2
skep_start h2
same_port() { [[ -n $port && $(skep h2 port lucky) == "$port" ]]; }
eventually 60 same_port
skep h2 rm -f lucky >/dev/null
eventually 60 reaches h1 one two
kept() { [[ $(address h2 two) == 10.30.0.77 && $(address h2 local) == 10.30.0.78 ]]; }
eventually 60 kept
for name in two friend many served; do
  eventually 60 reaches h1 one "$name"
done
eventually 60 reaches h1 far many
eventually 60 serves 18080 many
eventually 60 serves 18081 served
eventually 60 one_way many
skep h2 network disconnect shared local
reaches h1 one 10.30.0.78 && fail "still there after disconnect"
eventually 60 one_way local
same "$plain" "$(skep h2 exec local cat /etc/resolv.conf)" "resolv.conf when the last network with names is gone"
skep h2 exec local sh -c 'echo "nameserver 10.9.9.9" >/etc/resolv.conf'
skep h2 network connect --ip 10.30.0.78 shared local
same "nameserver 10.9.9.9" "$(skep h2 exec local cat /etc/resolv.conf)" "resolv.conf that somebody wrote"

step "a restart attaches anew, with the same address"
skep h2 restart -t 0 two >/dev/null
same 10.30.0.77 "$(address h2 two)" "the address"
eventually 60 reaches h1 one two

step "disconnected and removed: the addresses are free, and nothing is left"
skep h2 network disconnect shared two
reaches h1 one 10.30.0.77 && fail "still there after disconnect"
is_free() { skep h1 run --rm --network shared --ip 10.30.0.77 "$LAB_IMAGE" true >/dev/null 2>&1; }
eventually 60 is_free
skep h2 rm -f two local many beside served >/dev/null
skep h1 rm -f one far >/dev/null
eventually 60 manager network rm other >/dev/null
manager service rm web >/dev/null
unused() { manager network rm shared >/dev/null 2>&1; }
eventually 60 unused
quiet() { [[ $(on "$1" ls "$LAB/$1/exec/netns" | grep -cv '^ingress\|^1-') == 0 ]]; }
eventually 60 quiet h1
eventually 60 quiet h2
