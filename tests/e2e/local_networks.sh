#!/bin/bash
# Containers on networks of one node by the docker command: the default bridge with published ports
# and the way out, networks that users make, fixed addresses, host and none, a restart of skepd.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl
lab_up 2 # h2 is outside
skep_image h1
skep_start h1
d() { skep h1 "$@"; }
outside() { on h2 curl -sS --max-time "${2:-3}" "http://$(ip_of h1):$1/"; }
reaches() { [[ $(outside "$1" "${3:-}") == "$2" ]]; }

step "docker run -p: from outside, from the host, and out"
d run -d --name web -p 8080:80 -p 127.0.0.1:9090:80 "$LAB_IMAGE" \
  sh -c 'mkdir /w; echo web >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
eventually 60 reaches 8080 web
same web "$(on h1 curl -sS --max-time 20 http://127.0.0.1:9090/)" "localhost"
same "0.0.0.0:8080" "$(d port web 80/tcp | head -1)" "docker port"
[[ $(d ps --format '{{.Ports}}') == *'0.0.0.0:8080->80/tcp'* ]] || fail "docker ps: $(d ps)"
ip=$(d inspect -f '{{.NetworkSettings.IPAddress}}' web)
[[ $ip == 172.* ]] || fail "docker inspect: $ip"
same web "$(d run --rm "$LAB_IMAGE" wget -q -O - "http://$ip/")" "a neighbour"
d run --rm "$LAB_IMAGE" ping -c 1 -W 30 "$(ip_of h2)" >/dev/null || fail "no way out"
refused 'driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): .*port is already allocated' \
  d run --rm --name second -p 8080:80 "$LAB_IMAGE" sleep 60
refused . d network create --scope odd odd
refused 'loopback interface is not a valid macvlan parent link' d network create -d macvlan -o parent=lo loop

step "a user's network, with a fixed address"
d network create --subnet 10.40.0.0/24 --gateway 10.40.0.1 blue >/dev/null
refused 'already exists' d network create blue
d run -d --name fixed --network blue --ip 10.40.0.77 "$LAB_IMAGE" sleep 1000 >/dev/null
same 10.40.0.77 "$(d inspect -f '{{.NetworkSettings.Networks.blue.IPAddress}}' fixed)" "the address"
[[ $(d exec fixed cat /etc/hosts) == *10.40.0.77* ]] || fail "hosts file"
d run --rm --network blue "$LAB_IMAGE" ping -c 1 -W 30 10.40.0.77 >/dev/null || fail "no way on blue"
d run --rm --network blue "$LAB_IMAGE" ping -c 1 -W 1 "$ip" >/dev/null && fail "networks are not apart"
refused 'active endpoints' d network rm blue
[[ $(d network ls --format '{{.Name}}/{{.Driver}}') == *blue/bridge* ]] || fail "network ls"
[[ $(d network inspect blue) == *10.40.0.77/24* ]] || fail "network inspect"
refused 'not found' d run --rm --network nowhere "$LAB_IMAGE" true

step "names on a user's network"
d run -d --name other --network blue --network-alias second "$LAB_IMAGE" sleep 1000 >/dev/null
for name in other second "$(d inspect -f '{{.Id}}' other | head -c 12)" fixed; do
  d exec fixed ping -c 1 -W 30 "$name" >/dev/null || fail "no way to $name by name"
done
[[ $(d exec fixed cat /etc/resolv.conf) == *127.0.0.11* ]] || fail "resolv.conf"

step "network connect and disconnect"
d network create --subnet 10.41.0.0/24 red >/dev/null
d network connect --ip 10.41.0.9 --alias here red other
[[ $(d exec other ip addr show eth1) == *10.41.0.9* ]] || fail "no second interface"
same 10.41.0.9 "$(d inspect -f '{{.NetworkSettings.Networks.red.IPAddress}}' other)" "the second address"
same "other" "$(d run --rm --network red "$LAB_IMAGE" sh -c 'ping -c 1 -W 30 here >/dev/null && echo other')" "by alias"
refused 'already exists' d network connect red other
name=$(d exec other hostname)
[[ $(d exec other cat /etc/hosts) == *$'\n10.41.0.9\t'"$name" ]] || fail "its hosts file: $(d exec other cat /etc/hosts)"
d network disconnect red other
hosts=$(d exec other cat /etc/hosts)
[[ $hosts != *10.41.0.9* && $hosts == *"$name"* ]] || fail "its hosts file: $hosts"
[[ $(d exec other ip addr) != *10.41.0.9* ]] || fail "the second interface stays"
refused 'not connected' d network disconnect red other
refused 'not found' d network connect nowhere other
refused 'LinkLocalIPs .*is not supported by Skep' d network connect --link-local-ip 169.254.9.9 red other
refused 'DriverOpts .*is not supported by Skep' d network connect --driver-opt a=b red other
refused 'LinkLocalIPs .*is not supported by Skep' d run --rm --network red --link-local-ip 169.254.9.9 "$LAB_IMAGE" true
refused 'not connected' d network disconnect red other
d network rm red >/dev/null

step "networks made from a configuration"
d network create --config-only --subnet 10.42.0.0/24 --label from=cfg cfg >/dev/null
same "true null 10.42.0.0/24" "$(d network inspect -f '{{.ConfigOnly}} {{.Driver}} {{(index .IPAM.Config 0).Subnet}}' cfg)" "inspect"
refused 'configuration-only' d run --rm --network cfg "$LAB_IMAGE" true
refused 'is not a configuration-only network' d network create --config-from blue made
refused 'user supplied configurations are not supported' d network create --config-from cfg --internal made
d network create --config-from cfg made >/dev/null
same "10.42.0.0/24 cfg cfg" "$(d network inspect -f '{{(index .IPAM.Config 0).Subnet}} {{.ConfigFrom.Network}} {{.Labels.from}}' made)" "made"
[[ $(d run --rm --network made "$LAB_IMAGE" ip addr) == *10.42.0.2/24* ]] || fail "no address of the configuration's"
refused 'is in use' d network rm cfg
d network prune --force >/dev/null # takes what nobody is on, but no configuration
refused 'No such network' d network inspect made
d network rm cfg >/dev/null
refused 'Unknown runtime specified bogus' d run --rm --runtime bogus "$LAB_IMAGE" true
d run --rm --runtime runc "$LAB_IMAGE" true || fail "the name of a runtime"

step "IPv6, addresses of others, ranges"
refused 'IPv6 address pool' d network create --ipv6 six
refused 'multiple subnets' d network create --subnet 10.42.0.0/24 --subnet 10.43.0.0/24 two
d network create --ipv6 --subnet 10.42.0.0/24 --ip-range 10.42.0.16/30 --aux-address router=10.42.0.17 \
  --subnet fd00:42::/64 --aux-address dns=fd00:42::2 six >/dev/null
same "map[router:10.42.0.17]" "$(d network inspect -f '{{(index .IPAM.Config 0).AuxiliaryAddresses}}' six)" "aux"
refused 'already in use' d run --rm --network six --ip 10.42.0.17 "$LAB_IMAGE" true
d run -d --name s1 --network six "$LAB_IMAGE" sleep 1000 >/dev/null
d run -d --name s2 --network six --ip6 fd00:42::77 "$LAB_IMAGE" sleep 1000 >/dev/null
same 10.42.0.16 "$(d inspect -f '{{.NetworkSettings.Networks.six.IPAddress}}' s1)" "the first of the range"
same 10.42.0.18 "$(d inspect -f '{{.NetworkSettings.Networks.six.IPAddress}}' s2)" "the next that is nobody's"
same fd00:42::3 "$(d inspect -f '{{.NetworkSettings.Networks.six.GlobalIPv6Address}}' s1)" "IPv6"
same fd00:42::77 "$(d inspect -f '{{.NetworkSettings.Networks.six.GlobalIPv6Address}}' s2)" "the fixed IPv6 address"
d exec s1 ping -6 -c 1 -W 30 fd00:42::77 >/dev/null || fail "no way by IPv6"
d exec s1 ping -6 -c 1 -W 30 s2 >/dev/null || fail "no way by name and IPv6"
on h2 ip -6 addr add fd00:77::2/64 dev eth0 nodad
on h1 ip -6 addr add fd00:77::1/64 dev eth0 nodad
v6_out() { d exec s1 ping -6 -c 1 -W 1 fd00:77::2 >/dev/null; }
eventually 60 v6_out
d rm -f s1 s2 >/dev/null
d network rm six >/dev/null

step "host and none"
[[ $(d run --rm --network host "$LAB_IMAGE" ip addr) == *"$(ip_of h1)"* ]] || fail "host"
[[ $(d run --rm --network none "$LAB_IMAGE" ip addr) != *eth0* ]] || fail "none"

step "a firewall that drops what it does not know: ports and the way out go on"
on h1 iptables -P FORWARD DROP
out() { d exec web ping -c 1 -W 1 "$(ip_of h2)" >/dev/null; }
eventually 60 reaches 8080 web
eventually 60 out
on h1 iptables -F FORWARD
on h1 iptables -A FORWARD -j REJECT
eventually 60 reaches 8080 web
eventually 60 out
[[ $(on h1 iptables -S SKEP-FORWARD) == *'-i skep0 -j ACCEPT'* ]] || fail "iptables: $(on h1 iptables -S)"
on h1 nft add table inet other
on h1 nft add chain inet other gate '{ type filter hook forward priority 10; policy drop; }'
said() { [[ $(cat "$LAB"/h1/skepd*.log) == *'inet other/gate'* ]]; }
eventually 60 said
on h1 nft delete table inet other
d network create shut >/dev/null
on h1 nft list table ip skep_ports | has '"skep0"' || fail "the guard of loopback addresses went"

step "skepd goes and comes again"
# What passes a firewall that rejects the rest is not touched meanwhile, be it for a moment.
on h1 timeout 300 nft monitor >"$LAB/monitor" 2>/dev/null &
heard() { on h1 nft add table inet "$1"; on h1 nft delete table inet "$1"; [[ $(cat "$LAB/monitor") == *" $1"* ]]; }
eventually 60 heard before
skep_stop h1
reaches 8080 web 20 || fail "the port is gone with skepd"
skep_start h1
reaches 8080 web 20 || fail "the port is gone after skepd came again"
eventually 60 heard after
! grep SKEP-FORWARD "$LAB/monitor" || fail "a restart changed what the firewall lets pass"
same 10.40.0.77 "$(d inspect -f '{{.NetworkSettings.Networks.blue.IPAddress}}' fixed)" "the address"

step "stopped and removed: nothing is left"
d exec fixed ping -c 1 -W 30 other >/dev/null || fail "names are gone after skepd came again"
d rm -f web fixed other >/dev/null
d network rm blue >/dev/null
same "" "$(on h1 ls "$LAB/h1/exec/netns-local")" "namespaces"
closed() { ! outside 8080 >/dev/null; }
eventually 60 closed
