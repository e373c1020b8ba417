#!/bin/bash
# The guest itself: it boots Debian's kernel, has what we want it for, and hosts of the lab run in it.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
. "$(dirname "$0")/../support/lab.sh"

step "Debian's kernel $(uname -r), cgroup v2"
same cgroup2fs "$(stat -f -c %T /sys/fs/cgroup)" "the cgroup tree"

step "ESP with AES-GCM and IPVS are there"
# (Not dummy0: where systemd does not say otherwise the module makes one by itself.)
ip link add spare type dummy
ip addr add 10.1.0.1/24 dev spare
ip xfrm state add src 10.1.0.1 dst 10.1.0.2 proto esp spi 1 mode transport \
  aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 64
[[ -e /proc/net/ip_vs ]] || fail "no IPVS"

step "two hosts reach each other"
lab_needs
lab_up 2
on h1 ping -q -c 1 -W 30 "$(ip_of h2)" >/dev/null
