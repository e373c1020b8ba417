#!/bin/bash
# Networks of one host alone, on real packets: the default bridge and ones that users make; the way
# out with the host's address, published ports, no way between networks, none out of internal ones,
# none between neighbours without icc; macvlan and ipvlan; what is refused; a restart; removal.
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft ping python3 jq
locals=$SKEP_BUILD/tests/interop/interop_locals ask=$SKEP_BUILD/tests/interop/interop_mesh
lab_up 2 # h2 is outside

run() { start h1 locals sh -c "exec '$locals' $LAB/h1/networks $LAB/h1/ns <$LAB/h1/in >>$LAB/h1/said"; exec {fd}<>"$LAB/h1/in"; }
mkfifo "$LAB/h1/in"
: >"$LAB/h1/said"
run
# do COMMAND: its answer in $said.
command_()
{
  local before; before=$(wc -l <"$LAB/h1/said")
  echo "$*" >&"$fd"
  answered() { (($(wc -l <"$LAB/h1/said") > before)); }
  eventually 60 answered
  said=$(tail -1 "$LAB/h1/said")
}
works() { command_ "$@"; [[ $said != failed* ]] || fail "$*: $said"; }
refuses() { local why=$1; shift; command_ "$@"; [[ $said =~ ^failed:.*$why ]] || fail "$*: $said"; }
in_box() { local box=$1; shift; on h1 nsenter --net="$LAB/h1/ns/l-$(container "$box" | head -c 12)" -- "$@"; }
container() { printf '%012d%052d' "$1" 0; }

step "the networks that are always there"
works list
same "bridge host none" "$said" "the list"
refuses 'pre-defined' remove bridge
refuses 'predefined' create '{"Name":"host"}'

step "two containers on the default bridge, one with a port"
works attach "$(container 1)" bridge 6,8080,80
works attach "$(container 2)" bridge
works show bridge
one=$(jq -r ".Containers[\"$(container 1)\"].IPv4Address" <<<"$said")
one=${one%/*}
start h1 serve1 nsenter --net="$LAB/h1/ns/l-$(container 1 | head -c 12)" -- "$ask" serve 80 one
start h2 serve2 "$ask" serve 90 outside
seen() { same "$1" "$("${@:2}")" "who is seen: ${*:2}"; }
up() { in_box 2 "$ask" ask tcp "$one" 80; }
eventually 60 up
in_box 2 ping -c 1 -W 30 "$one" >/dev/null || fail "neighbours do not reach each other"
out() { in_box 2 "$ask" ask tcp "$(ip_of h2)" 90; }
eventually 60 out
seen "outside $(ip_of h1)" in_box 2 "$ask" ask tcp "$(ip_of h2)" 90
seen "one $(ip_of h2)" on h2 "$ask" ask tcp "$(ip_of h1)" 8080
on h1 "$ask" ask tcp 127.0.0.1 8080 >/dev/null || fail "no way by localhost"
in_box 2 "$ask" ask tcp "$(ip_of h1)" 8080 >/dev/null || fail "no way by the host's port"
refuses 'port is already allocated' attach "$(container 3)" bridge 6,8080,80
refuses 'already exists' create '{"Name":"x","Options":{"com.docker.network.bridge.name":"skep0"}}'

step "networks that users make; what they may not be"
works create '{"Name":"blue","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.30.0.0/24","Gateway":"10.30.0.9","IPRange":"10.30.0.128/25"}]},"Labels":{"a":"b"}}'
refuses 'already exists' create '{"Name":"blue"}'
refuses 'overlaps' create '{"Name":"red","IPAM":{"Config":[{"Subnet":"10.30.0.0/16"}]}}'
refuses 'IPv6' create '{"Name":"red","EnableIPv6":true}'
refuses 'option .* is not supported' create '{"Name":"red","Options":{"com.example":"1"}}'
refuses 'plugin' create '{"Name":"red","Driver":"weave"}'
refuses 'not found' attach "$(container 9)" green
works attach "$(container 4)" blue
works attach "$(container 4)" bridge
works show blue
same "10.30.0.128/24" "$(jq -r ".Containers[\"$(container 4)\"].IPv4Address" <<<"$said")" "an address of the range"
same "b 10.30.0.9" "$(jq -r '.Labels.a + " " + .IPAM.Config[0].Gateway' <<<"$said")" "what was asked for"
works attach "$(container 5)" blue
in_box 5 ping -c 1 -W 30 10.30.0.128 >/dev/null || fail "no way on a user's network"
in_box 5 ping -c 1 -W 1 "$one" >/dev/null && fail "a way from one network to another"
in_box 4 ping -c 1 -W 30 "$one" >/dev/null || fail "a container on two networks reaches only one"
refuses 'active endpoints' remove blue

step "internal, and without icc"
works create '{"Name":"inner","Internal":true}'
works create '{"Name":"apart","Options":{"com.docker.network.bridge.enable_icc":"false"}}'
for i in 6 7; do
  works attach "$(container $i)" inner
  works attach "$(container 1$i)" apart
done
address() { in_box "$1" ip -4 -o addr show eth0 | sed 's|.*inet \([0-9.]*\)/.*|\1|'; }
in_box 6 ping -c 1 -W 30 "$(address 7)" >/dev/null || fail "no way on an internal network"
in_box 6 ping -c 1 -W 1 "$(ip_of h2)" >/dev/null 2>&1 && fail "a way out of an internal network"
in_box 16 ping -c 1 -W 1 "$(address 17)" >/dev/null && fail "neighbours without icc reach each other"
in_box 16 ping -c 1 -W 30 "$(ip_of h2)" >/dev/null || fail "no way out without icc"

step "macvlan on the host's interface"
refuses 'parent' create '{"Name":"mac","Driver":"macvlan"}'
works create "{\"Name\":\"mac\",\"Driver\":\"macvlan\",\"Options\":{\"parent\":\"eth0\"},\"IPAM\":{\"Config\":[{\"Subnet\":\"$LAB_SUBNET.0/24\",\"IPRange\":\"$LAB_SUBNET.192/26\"}]}}"
command_ attach "$(container 8)" mac
if [[ $said == failed* ]]; then
  [[ $said =~ support ]] || fail "macvlan: $said"
  echo "this kernel has no macvlan: $said"
else
  in_box 8 ping -c 1 -W 30 "$(ip_of h2)" >/dev/null || fail "no way by macvlan"
  works detach "$(container 8)"
fi
works remove mac

step "a restart of ours: containers keep what they have"
kill9 h1 locals
exec {fd}>&-
run
works list
same "apart blue bridge host inner none" "$(tr ' ' '\n' <<<"$said" | sort | paste -sd' ')" "the list"
works attach "$(container 1)" bridge
seen "one $(ip_of h2)" on h2 "$ask" ask tcp "$(ip_of h1)" 8080
refuses 'port is already allocated' attach "$(container 3)" bridge 6,8080,80

step "taken away: nothing is left"
for i in 1 2 4 5 6 7 16 17; do works detach "$(container $i)"; done
for name in blue inner apart; do works remove $name; done
same "" "$(on h1 ip -o link show | grep -o 'skepl[^@:]*\|br-[0-9a-f]*' || true)" "links"
same "" "$(on h1 ls "$LAB/h1/ns")" "namespaces"
refuse() { ! on h2 "$ask" ask tcp "$(ip_of h1)" 8080; }
eventually 60 refuse
