#!/bin/bash
# The data plane of encrypted networks, in a guest with Debian's kernel (this machine's may have no
# ESP): container to container across two nodes of skepd; beside a VXLAN and an ESP made by hand
# between two namespaces of the same hosts, and two nodes of stock dockerd on the same network, in turns.
# The guest's processor is emulated, so the figures mean something only beside each other.
#
# PEERS chooses among "hand stock"; stock's two daemons take some minutes to start here.
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
SKEP_BUILD=$(realpath "$SKEP_BUILD")
GUEST_MEM_MIB=${GUEST_MEM_MIB:-4096} GUEST_SECONDS=${GUEST_SECONDS:-3600}
. "$(dirname "$0")/../../support/guest.sh"
in_guest "$0" "${ROUNDS:-3}" "${SECONDS_EACH:-3}" "${PEERS:-hand stock}"
. "$(dirname "$0")/../../support/lab.sh"
. "$(dirname "$0")/figures.sh"
lab_needs conmon crun umoci busybox nft
rounds=$1 seconds=$2 peers=$3
bench=$SKEP_BUILD/tests/bench/bench_net
PORT=7001
LAB_DOCKER=$SKEP_BUILD/skep
peer() { [[ " $peers " == *" $1 "* ]]; }
lab_up "$(peer stock && echo 4 || echo 2)" # h1 and h2 run skepd, h3 and h4 dockerd

step "the cluster"
guest_cipher
stocks=()
if peer stock; then
  stocks=(h3 h4)
  for host in "${stocks[@]}"; do
    # dockerd gives a containerd of its own 15 s to start, which is little here.
    start "$host" containerd containerd --root "$LAB/$host/containerd" --state /run/containerd \
      --address /run/containerd/containerd.sock
  done
fi
skep_image h1 h2
for host in h1 h2; do skep_start "$host"; done
containerd_is_there() { on "$1" test -S /run/containerd/containerd.sock; }
for host in "${stocks[@]}"; do
  eventually 60 containerd_is_there "$host"
  stock_start "$host" --containerd /run/containerd/containerd.sock
done
((${#stocks[@]} == 0)) || stock_image "${stocks[@]}"
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h1 swarm update --dispatcher-heartbeat 60s >/dev/null
token=$(skep h1 swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
for host in "${stocks[@]}"; do
  stock "$host" swarm join --token "$token" --advertise-addr "$(ip_of "$host")" "$(ip_of h1):2377" >/dev/null
done
skep h1 network create --driver overlay --subnet 10.21.0.0/24 --opt encrypted sealed >/dev/null
skep h1 network create --driver overlay --subnet 10.20.0.0/24 plain >/dev/null
skep h1 service create --detach --name bench --mode global --network sealed --network plain --no-resolve-image \
  "$LAB_IMAGE" sleep 100000 >/dev/null
nodes=$((2 + ${#stocks[@]}))
runs() { [[ $(skep h1 service ls --filter name=bench --format '{{.Replicas}}') == "$nodes/$nodes" ]]; }
eventually 300 runs

# ---- places -----------------------------------------------------------------------------------

declare -A pin=()
for host in h1 h2; do
  id=$(skep "$host" ps --quiet --no-trunc)
  pin[$host]=$LAB/$host/exec/netns/${id:0:12}
done
for host in "${stocks[@]}"; do
  pin[$host]=$(stock "$host" inspect --format '{{.NetworkSettings.SandboxKey}}' "$(stock "$host" ps --quiet --no-trunc)")
done
address() { on "$1" nsenter --net="${pin[$1]}" -- ip -4 -o addr show | sed -n "s|.* inet \($2\.[0-9]*\)/24 .*|\1|p"; }

# By hand: the same cipher, key length and MTU as the networks have; nothing else. And the same behind a bridge,
# as containers have it, without a filter: what of the difference is the bridge's.
by_hand()
{
  local host own peer other mtu way from to spi name link
  mtu=$(on h1 nsenter --net="${pin[h1]}" -- ip -o link | sed -n "s/.* mtu \([0-9]*\) .*/\1/p" | sort -n | sed -n 1p)
  for host in h1 h2; do
    own=1 peer=2 other=h2
    [[ "$host" == h1 ]] || { own=2; peer=1; other=h1; }
    for way in "$host $other $own" "$other $host $peer"; do
      read -r from to spi <<<"$way"
      on "$host" ip xfrm state add src "$(ip_of "$from")" dst "$(ip_of "$to")" proto esp spi "$((0x7700 + spi))" reqid 77 \
        mode transport aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 64
    done
    on "$host" ip xfrm policy add src "$(ip_of "$host")" dst "$(ip_of $other)" proto udp dport 4790 dir out \
      tmpl src "$(ip_of "$host")" dst "$(ip_of $other)" proto esp reqid 77 mode transport
    for name in hand bridge behind; do on "$host" ip netns add ns-$name; done
    tunnel 77 ns-hand
    inside ns-hand vx77 96
    tunnel 78 ns-bridge
    on "$host" ip -n ns-bridge link add br0 type bridge
    on "$host" ip -n ns-bridge link add port netns ns-bridge type veth peer name eth0 netns ns-behind
    for link in vx78 port; do on "$host" ip -n ns-bridge link set $link master br0 mtu "$mtu" up; done
    on "$host" ip -n ns-bridge link set br0 up
    on "$host" ip netns exec ns-bridge sh -c 'for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$f; done'
    inside ns-behind eth0 97
    on "$host" bridge -n ns-bridge fdb append 02:42:0a:61:00:0$peer dev vx78 dst "$(ip_of $other)" self permanent
    on "$host" bridge -n ns-hand fdb append 02:42:0a:60:00:0$peer dev vx77 dst "$(ip_of $other)" self permanent
    pin[hand_$host]=/run/netns/ns-hand pin[bridge_$host]=/run/netns/ns-behind
  done
}
# Parts of it, with its variables. tunnel VNI NETNS, inside NETNS LINK NETWORK
tunnel()
{
  on "$host" ip link add "vx$1" type vxlan id "$1" dstport 4790 nolearning local "$(ip_of "$host")"
  on "$host" ip link set "vx$1" netns "$2"
}
inside()
{
  local mac; mac=$(printf '02:42:0a:%02x:00:0' "$3")
  on "$host" ip -n "$1" link set lo up
  on "$host" ip -n "$1" link set "$2" address "$mac$own" mtu "$mtu" up
  on "$host" ip -n "$1" addr add "10.$3.0.$own/24" dev "$2"
  on "$host" ip -n "$1" neigh add "10.$3.0.$peer" lladdr "$mac$peer" dev "$2" nud permanent
}
! peer hand || by_hand

# ---- figures ----------------------------------------------------------------------------------

figures=$LAB/figures
mkdir "$figures"
# measure NAME HOST NETNS ADDRESS
measure()
{
  local what line
  for what in stream packets trips; do
    # shellcheck disable=SC2046 # none or one
    line=$(on "$2" nsenter --net="$3" -- "$bench" $what "$4" $PORT "$seconds" $([[ $what != packets ]] || echo 64))
    if [[ $what == trips ]]; then keep "$1.p50" "$(field p50_us <<<"$line")"
    else keep "$1.$what" "$(field rate <<<"$line")"; fi
  done
}
answers() { on "$1" nsenter --net="$2" -- "$bench" connects "$3" $PORT 0.1; }
cases=()
prepare() # NAME FROM TO NETNS-FROM NETNS-TO ADDRESS
{
  start "$3" "serve-$1" nsenter --net="$5" -- "$bench" serve $PORT
  eventually 60 answers "$2" "$4" "$6"
  cases+=("$1 $2 $4 $6")
}
step "servers"
prepare skep_sealed h1 h2 "${pin[h1]}" "${pin[h2]}" "$(address h2 10.21.0)"
cases+=("skep_plain h1 ${pin[h1]} $(address h2 10.20.0)")
if peer hand; then
  prepare hand h1 h2 "${pin[hand_h1]}" "${pin[hand_h2]}" 10.96.0.2
  prepare bridge h1 h2 "${pin[bridge_h1]}" "${pin[bridge_h2]}" 10.97.0.2
fi
! peer stock || prepare stock_sealed h3 h4 "${pin[h3]}" "${pin[h4]}" "$(address h4 10.21.0)"
for ((round = 1; round <= rounds; round++)); do
  step "round $round of $rounds"
  for case in "${cases[@]}"; do
    # shellcheck disable=SC2086 # four words
    measure $case
  done
done
# What was measured went as ESP.
bytes=$(on h1 ip -s xfrm state | sed -n 's/.* \([0-9]*\)(bytes).*/\1/p' | sort -n | tail -n 1)
((bytes > 100000)) || fail "ESP carried $bytes bytes"

for figure in stream packets p50; do
  what="encrypted, across nodes"
  row "$what" $figure skep_sealed hand "VXLAN and ESP by hand" "$([[ $figure == packets ]] && echo 0.85 || echo 0.95)"
  row "$what" $figure skep_sealed bridge "the same behind a bridge" ""
  row "$what" $figure skep_sealed stock_sealed dockerd 1
  row "$what" $figure skep_sealed skep_plain "without encryption" ""
done
show_figures
