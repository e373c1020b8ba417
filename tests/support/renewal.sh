# shellcheck shell=bash
# New keys of networks under traffic, for tests of whole nodes in the guest. The test has hosts h1 and h2, and
#
#   manager ARGUMENT...     our command at the manager
#   in_box HOST COMMAND...  runs in the network namespace of the host's container

# The keys that a host encrypts with, by their numbers.
spis() { on "$1" ip xfrm state | sed -n 's/.*spi \(0x[0-9a-f]*\).*/\1/p' | sort | tr '\n' ' '; }
changed() { [[ $(spis "$1") != "$2" && $(wc -w <<<"$(spis "$1")") == 4 ]]; }

# keep_pinging HOST ADDRESS: one run after the other, each without a loss, until it is enough.
keep_pinging()
{
  until [[ -e $LAB/enough ]]; do
    in_box "$1" ping -c 20 -i 0.2 -W 60 "$2" >"$LAB/pings.$1" || break
    grep -q ' 0% packet loss' "$LAB/pings.$1" || break
    echo 20 >>"$LAB/pinged.$1"
  done
  [[ -e $LAB/enough ]] || touch "$LAB/lost.$1"
}

# renew_under_traffic TIMES ADDRESS-ON-h1 ADDRESS-ON-h2: both containers ping each other meanwhile.
renew_under_traffic()
{
  local times=$1 host
  local -A peer=([h1]=$3 [h2]=$2) held=() pinger=()
  rm -f "$LAB"/enough
  for host in h1 h2; do keep_pinging $host "${peer[$host]}" & pinger[$host]=$!; done
  for ((; times > 0; times--)); do
    for host in h1 h2; do held[$host]=$(spis $host); done
    manager swarm update --rotate-network-keys >/dev/null
    for host in h1 h2; do eventually 60 changed $host "${held[$host]}"; done
  done
  touch "$LAB/enough"
  for host in h1 h2; do
    wait "${pinger[$host]}"
    [[ ! -e $LAB/lost.$host ]] || fail "pings from $host: $(tail -n 5 "$LAB/pings.$host")"
    echo "    $(wc -l <"$LAB/pinged.$host") times 20 pings from $host"
  done
}
