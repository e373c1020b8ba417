#!/bin/bash
# A swarm of skepd and a whole stock dockerd on Debian's kernel, which has what stock needs: IPVS and
# ESP. Service addresses and published ports of either node, by TCP and SCTP, reach tasks on both; an
# encrypted network encrypts between the two, takes no clear text, and loses no packet while keys are
# renewed.
#
# Stock's part is Go and hundreds of runs of iptables, which an emulator makes five minutes of: nothing else runs
# meanwhile.
# ctest: TIMEOUT 3700 RUN_SERIAL 1
GUEST_MEM_MIB=${GUEST_MEM_MIB:-3072} GUEST_SECONDS=${GUEST_SECONDS:-3600}
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
. "$(dirname "$0")/../support/lab.sh"
. "$(dirname "$0")/../support/renewal.sh"
lab_needs dockerd containerd conmon crun umoci busybox nft ping python3
here=$(realpath "$(dirname "$0")")
# Our own command for both: what is compiled for a real processor starts faster here than Go does.
LAB_DOCKER=$SKEP_BUILD/skep

lab_up 3 # h1 runs skepd, h2 dockerd, h3 is a client outside
manager() { skep h1 "$@"; }

step "skepd on h1, dockerd on h2"
guest_cipher
# dockerd gives a containerd of its own 15 s to start, which is little here.
start h2 containerd containerd --root "$LAB/h2/containerd" --state /run/containerd \
  --address /run/containerd/containerd.sock
skep_image h1
skep_start h1
containerd_is_there() { on h2 test -S /run/containerd/containerd.sock; }
eventually 60 containerd_is_there
stock_start h2 --containerd /run/containerd/containerd.sock
stock_image h2

step "one swarm, a plain and an encrypted network, and a task on each node"
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
stock h2 swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null
# A node that is slow is not down.
in_sequence manager swarm update --dispatcher-heartbeat 60s >/dev/null
manager network create --driver overlay --subnet 10.20.0.0/24 plain >/dev/null
manager network create --driver overlay --subnet 10.21.0.0/24 --opt encrypted sealed >/dev/null
modprobe sctp
manager service create --detach --name web --mode global --hostname '{{.Node.Hostname}}' \
  --network plain --network sealed --publish 8080:80 --publish published=8132,target=132,protocol=sctp \
  --no-resolve-image "$LAB_IMAGE" \
  sleep 100000 >/dev/null
runs() { [[ $(manager service ls --filter name=web --format '{{.Replicas}}') == 2/2 ]]; }
eventually 300 runs

# The namespaces of the two tasks.
id=$(skep h1 ps --quiet --no-trunc)
declare -A pin=([h1]=$LAB/h1/exec/netns/${id:0:12})
pin[h2]=$(stock h2 inspect --format '{{.NetworkSettings.SandboxKey}}' "$(stock h2 ps --quiet --no-trunc)")
in_box() { local host=$1; shift; on "$host" nsenter --net="${pin[$host]}" -- "$@"; }
address() { in_box "$1" ip -4 -o addr show | sed -n "s|.* inet \($2\.[0-9]*\)/24 .*|\1|p"; }
mac_of() { local IFS=. part; read -ra part <<<"$1"; printf "02:42:%02x:%02x:%02x:%02x\n" "${part[@]}"; }
other() { if [[ $1 == h1 ]]; then echo h2; else echo h1; fi; }
for host in h1 h2; do
  declare "plain_$host=$(address $host 10.20.0)" "sealed_$host=$(address $host 10.21.0)"
done
of() { local name=$1_$2; echo "${!name}"; }

# ---- balancing --------------------------------------------------------------------------------

# In each task a server that tells its host, by TCP and by SCTP.
for host in h1 h2; do
  start $host tcp nsenter --net="${pin[$host]}" -- python3 "$here/swarm.py" serve tcp 80 $host
  start $host sctp nsenter --net="${pin[$host]}" -- python3 "$here/swarm.py" serve sctp 132 $host
done
# both COMMAND...: the tasks of both hosts answer.
both() { [[ $("$@") == "h1 h2" ]]; }
ask_in_box() { in_box "$1" python3 "$here/swarm.py" ask "${@:2}"; }
ask_outside() { on h3 python3 "$here/swarm.py" ask "$@"; }
resolve() { in_box "$1" python3 "$here/swarm.py" resolve "$2"; }

step "the service's address, by its name: balanced to both tasks, from either"
for host in h1 h2; do
  vip=$(resolve $host web.plain)
  [[ $vip == 10.20.0.* ]] || fail "web.plain is '$vip' on $host"
  for what in "tcp $vip 80" "sctp $vip 132"; do
    # shellcheck disable=SC2086 # three words
    eventually 30 both ask_in_box $host $what
  done
done

step "the published ports of either node: tasks on both"
for host in h1 h2; do
  eventually 30 both ask_outside tcp "$(ip_of $host)" 8080
  eventually 30 both ask_outside sctp "$(ip_of $host)" 8132
done

# ---- the encrypted network --------------------------------------------------------------------

step "the encrypted network: both ways, as ESP, with nothing of it in clear text on the wire"
vni_of() { manager network inspect "$1" --format '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}'; }
declare -A vni=([plain]=$(vni_of plain) [sealed]=$(vni_of sealed))
ip netns exec "${LAB_ID}sw" nft -f - <<NFT
table bridge wire {
  counter esp_seen { }
  counter plain_seen { }
  counter sealed_seen { }
  chain through {
    type filter hook prerouting priority -300;
    ether type ip ip protocol esp counter name esp_seen
    ether type ip udp dport 4789 @th,96,24 ${vni[plain]} counter name plain_seen
    ether type ip udp dport 4789 @th,96,24 ${vni[sealed]} counter name sealed_seen
  }
}
NFT
seen() { ip netns exec "${LAB_ID}sw" nft list counter bridge wire "$1_seen" | awk '/packets/ { print $2 }'; }
# Every ping is answered: one that is lost on a way that has yet to be made is no packet to count.
pings() { in_box "$1" ping -q -c 3 -i 0.2 -W 30 "$2" | has ' 0% packet loss'; }
for host in h1 h2; do
  eventually 30 pings $host "$(of plain "$(other $host)")"
  eventually 30 pings $host "$(of sealed "$(other $host)")"
done
(($(seen esp) >= 12)) || fail "$(seen esp) packets of ESP on the wire"
(($(seen plain) >= 12)) || fail "$(seen plain) packets of the plain network on the wire"
same 0 "$(seen sealed)" "packets of the encrypted network in clear text"

step "clear text for it is dropped, whoever's address it bears"
for host in h1 h2; do
  in_box $host nft 'add table inet probe; add counter inet probe got; add chain inet probe in { type filter hook input priority 0; };
    add rule inet probe in udp dport 9999 counter name got'
done
got() { in_box "$1" nft list counter inet probe got | awk '/packets/ { print $2 }'; }
refusals()
{
  if [[ $1 == h1 ]]; then on h1 nft list counter ip skep_guard clear | awk '/packets/ { print $2 }'
  else on h2 iptables -t filter -L INPUT -v -x -n | awk '/DROP/ && /4789/ { sum += $1 } END { print sum + 0 }'
  fi
}
forge() # HOST NETWORK: to the host's task, from the other node's address
{
  ip netns exec "${LAB_ID}sw" python3 "$here/swarm.py" forge "port${1#h}" "$(ip_of "$(other "$1")")" \
    "$(ip_of "$1")" "$(on "$1" cat /sys/class/net/eth0/address)" "${vni[$2]}" "$(mac_of "$(of "$2" "$1")")" "$(of "$2" "$1")"
}
more() { (($("$1" "$2") > $3)); }
for host in h1 h2; do
  before=$(refusals $host)
  forge $host sealed
  eventually 30 more refusals $host "$before"
  forge $host plain
  eventually 30 more got $host 0
  same 1 "$(got $host)" "forged packets that $host takes: that of the plain network alone"
done

# ---- new keys ---------------------------------------------------------------------------------

step "keys are renewed under traffic: no packet is lost"
renew_under_traffic 2 "$(of sealed h1)" "$(of sealed h2)"
same 0 "$(seen sealed)" "packets of the encrypted network in clear text"
