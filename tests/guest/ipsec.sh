#!/bin/bash
# An encrypted overlay on Debian's kernel: two nodes whose VXLAN goes through ESP with the cluster's
# keys. Nothing of it is readable on the wire, clear text is neither sent nor taken, keys rotate under
# traffic without a lost packet, and all of it comes and goes with the node.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft
ipsec=$SKEP_BUILD/tests/interop/interop_ipsec
A=198.51.100.1 B=198.51.100.2
work=$(mktemp -d)

step "this kernel encrypts"
same "this kernel encrypts" "$("$ipsec" probe)" "the probe"
same "" "$(ip xfrm state)" "what the probe leaves"

step "nodes A and B, with a VXLAN between them"
for node in A B; do
  ip netns add $node
  ip -n $node link set lo up
  ip netns add ov$node
  # Nothing speaks but what the test has speak: IPv6 has much to say when a link comes up.
  ip netns exec ov$node sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
  ip -n ov$node link set lo up
done
ip -n A link add eth0 type veth peer name eth0 netns B
ip -n A addr add $A/24 dev eth0
ip -n B addr add $B/24 dev eth0
for node in A B; do ip -n $node link set eth0 up; done
tunnel() # NODE LOCAL REMOTE ADDRESS
{
  ip -n "$1" link add vx0 type vxlan id 4097 dstport 4789 local "$2" nolearning
  ip -n "$1" link set vx0 netns "ov$1"
  ip -n "ov$1" addr add "$4/24" dev vx0
  ip -n "ov$1" link set vx0 mtu 1424 up
  bridge -n "ov$1" fdb append 00:00:00:00:00:00 dev vx0 dst "$3" self permanent
}
tunnel A $A $B 10.1.0.1
tunnel B $B $A 10.1.0.2

# node NODE LOCAL PEER: until all stands but keys.
node()
{
  rm -f "$work/$1.in"
  mkfifo "$work/$1.in"
  ip netns exec "$1" "$ipsec" node "$2" "$3" sealed=4097 <"$work/$1.in" >"$work/$1.out" 2>&1 &
  keeper[$1]=$!
  exec {fd}>"$work/$1.in"
  input[$1]=$fd
  eventually 20 has_done "$1" 0
  eventually 20 guarded "$1"
}
declare -A input keeper
has_done() { grep -qx "done $2" "$work/$1.out"; }
# Its last rule is looked for: while the kernel loads its packet filter for the first time, nft lists
# a table that is not there without an error.
guarded() { ip netns exec "$1" nft list table ip skep_guard | grep 'meta mark set' >/dev/null; }
# keys NODE N: the keys are N, N+1, N+2 now.
keys()
{
  echo "$2" >&"${input[$1]}"
  eventually 20 has_done "$1" "$2"
}
node A $A $B
node B $B $A

step "before there are keys nothing passes"
ip netns exec ovA ping -c 1 -W 1 10.1.0.2 >/dev/null && fail "clear text passes"
# Nor did anything leave: B has seen none to drop.
same 0 "$(ip netns exec B nft list counter ip skep_guard clear | awk '/packets/ { print $2 }')" \
  "frames in clear text that left A"

step "with keys it passes, as ESP with AES-GCM"
keys A 1
ip netns exec ovA ping -c 1 -W 1 10.1.0.2 >/dev/null && fail "passes with keys on one side alone"
keys B 1
ip netns exec ovA ping -c 2 -W 30 10.1.0.2 >/dev/null || fail "no way through"
ip netns exec A ip xfrm state | grep 'aead rfc4106(gcm(aes)).* 64$' >/dev/null || fail "another cipher"
same 4 "$(ip netns exec A ip xfrm state | grep -c '^src')" "states on A"
used=$(ip netns exec A ip -s xfrm state | grep -cE '[1-9][0-9]*\(bytes\), [1-9][0-9]*\(packets\)')
same 2 "$used" "states that carried packets, one each way"

step "clear text that a member sends is dropped"
ip netns exec B nft 'delete table ip skep_guard'
# B's keeper brings it back; a look at what one frame does before that is luck, so it is made from A.
eventually 20 guarded B
clear_at_a() { ip netns exec A nft list counter ip skep_guard clear | awk '/packets/ { print $2 }'; }
before=$(clear_at_a)
kill -STOP "${keeper[B]}"
ip netns exec B nft 'delete table ip skep_guard'
ip netns exec ovB ping -c 1 -W 1 10.1.0.1 >/dev/null && fail "clear text gets in"
is_counted() { (($(clear_at_a) > before)); }
eventually 20 is_counted
kill -CONT "${keeper[B]}"
eventually 20 guarded B
ip netns exec ovB ping -c 1 -W 30 10.1.0.1 >/dev/null || fail "no way through again"

step "keys rotate under traffic: not one packet is lost"
ip netns exec ovA ping -q -i 0.01 -c 1500 -W 30 10.1.0.2 >"$work/ping" &
pinger=$!
for ((n = 2; n <= 6; n++)); do
  keys A $n
  keys B $n
done
wait "$pinger" || true
grep -q ' 0% packet loss' "$work/ping" || fail "lost some: $(grep loss "$work/ping")"
same 4 "$(ip netns exec A ip xfrm state | grep -c '^src')" "states after rotations"

step "a node's life ends, and another begins and is late to hear of the keys: not one packet is lost"
ip netns exec ovA ping -q -i 0.05 -c 200 -W 30 10.1.0.2 >"$work/ping" &
pinger=$!
kill -KILL "${keeper[A]}"
eval "exec ${input[A]}>&-"
eventually 20 gone "${keeper[A]}"
node A $A $B
same 4 "$(ip netns exec A ip xfrm state | grep -c '^src')" "states that the life before left"
keys A 6
wait "$pinger" || true
grep -q ' 0% packet loss' "$work/ping" || fail "lost some: $(grep loss "$work/ping")"
same 4 "$(ip netns exec A ip xfrm state | grep -c '^src')" "states after that"

step "what others break is repaired, what a node leaves is taken away"
# Its keeper looks at all of it now and then, which must not be now.
kill -STOP "${keeper[A]}"
ip netns exec A ip xfrm policy flush
ip netns exec ovA ping -c 1 -W 1 10.1.0.2 >/dev/null && fail "clear text passes without a policy"
kill -CONT "${keeper[A]}"
keys A 7
keys B 7
ip netns exec ovA ping -c 1 -W 30 10.1.0.2 >/dev/null || fail "no way through after a repair"
kill "${keeper[B]}"
eval "exec ${input[A]}>&-"
eventually 20 gone "${keeper[A]}"
same "" "$(ip netns exec A ip xfrm state; ip netns exec A ip xfrm policy)" "what a node leaves"
