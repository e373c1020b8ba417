#!/bin/bash
# One overlay network across two nodes of skepd and a stock dockerd. The dockerd leads first, then skepd takes
# over (FORMS=stock or skep: the one or the other all the time): everybody reaches everybody by address and name,
# endpoints come and go, a node dies hard and returns; what each of the three has of forwarding rows, neighbours
# and names is what the manager says runs, and nothing more. The time that takes is told. Gossip between the kinds
# is on the wire, and the stock node has no complaint of it.
#
#   FORMS="skep stock" ENDPOINTS=100 STRICT=1 tests/e2e/overlay_stock.sh
#                             the drill: right within 5 s, nothing stale 30 s after a node died, else it fails
# ctest: COST 65
here=$(realpath "$(dirname "$0")")
. "$here/../support/lab.sh"
lab_needs docker dockerd conmon crun umoci busybox nft bridge curl python3 tshark
ENDPOINTS=${ENDPOINTS:-12}
STRICT=${STRICT:-}
FORMS=${FORMS:-handover} # who manages
LAB_STOP_SECONDS=60
lab_up 4

# skepd runs on h1 and h2, dockerd on h3; h4 is a client outside.
ask() { local host=$1; shift; if [[ $host == h3 ]]; then stock h3 "$@"; else skep "$host" "$@"; fi; }
manager() { ask "$lead" "$@"; }
pins() { if [[ $1 == h3 ]]; then echo /run/docker/netns; else echo "$LAB/$1/exec/netns"; fi; }
socket_of() { if [[ $1 == h3 ]]; then echo "$LAB/h3/docker.sock"; else echo "$LAB/$1/skep.sock"; fi; }

# ---- what each knows --------------------------------------------------------------------------

# watch HOST: what it has is written down from now on.
watch() { start "$1" watch python3 "$here/overlay_state.py" watch "$(pins "$1")" 10.20.0.1 tasks.web "$LAB/$1/seen"; }
check() { python3 "$here/overlay_state.py" check "$(socket_of "$lead")" blue "$@"; }
# right COUNT HOST...: these hosts, which are all that live, know all running tasks, and no other.
right()
{
  local count=$1 host seen=(); shift
  for host in "$@"; do seen+=("$host=$LAB/$host/seen"); done
  check "$count" "${seen[@]}" >"$LAB/right"
}
# longest COLUMN HOST...: the most that any of them has there, in what was right last.
longest()
{
  local column=$1; shift
  awk -v c="$column" -v hosts=" $* " 'index(hosts, " " $1 " ") && $c > m { m = $c } END { printf "%.0f", m }' "$LAB/right"
}
# soon COUNT WHAT HOST...: all is right, and tells how long that took after the last task ran (or was gone).
# A node of dockerd may take longer than one of ours: it hears of some rows only when all are compared.
soon()
{
  local count=$1 what=$2 ours; shift 2
  eventually $((240 + 3 * count)) check "$count" # a dockerd takes its time on a busy machine
  eventually 60 right "$count" "$@"
  ours=$(longest 3 h1 h2)
  echo "    $what: skepd's are right after $ours ms, dockerd's after $(longest 3 h3) ms"
  [[ -z $STRICT ]] || ((ours <= 5000)) || fail "$what: right after $ours ms, which is more than 5 s: $(<"$LAB/right")"
}

# Everybody pings everybody.
reach()
{
  local host all=()
  for host in "$@"; do
    mapfile -t -O "${#all[@]}" all < <(python3 "$here/overlay_state.py" own "$LAB/$host/seen")
  done
  for host in "$@"; do
    # shellcheck disable=SC2016 # for the host's shell
    on "$host" sh -c 'pins=$1; shift
      for pin in "$pins"/*; do
        nsenter --net="$pin" -- ip -4 addr 2>/dev/null | grep -q " 10\.20\.0\.[0-9]*/24 .*eth" || continue
        for to in "$@"; do nsenter --net="$pin" -- ping -c 1 -W 2 "$to" >/dev/null || { echo "$pin to $to"; exit 1; }; done
      done' reach "$(pins "$host")" "${all[@]}" || { echo "from $host"; return 1; }
  done
}

# ---- the drill --------------------------------------------------------------------------------

# A task goes to nodes that are ready: who counts tasks waits for that.
ready() { [[ $(manager node ls --format '{{.Status}}' | grep -c '^Ready$') == "$1" ]]; }
# has_come COUNT WHAT: all three have so many endpoints right, and reach each other.
has_come()
{
  soon "$1" "$2" h1 h2 h3
  (($1 > 20)) || eventually 60 reach h1 h2 h3
}

gather() # LEAD
{
  local host token
  lead=$1
  skep_image h1 h2
  skep_start h1
  skep_start h2
  stock_start h3
  stock_image h3
  # What passes between the stock node and the others, from the beginning.
  ip netns exec "${LAB_ID}sw" tshark -q -i port3 -f 'port 7946' -w "$LAB/gossip.pcap" >"$LAB/tshark.log" 2>&1 &
  capture=$!
  manager swarm init --advertise-addr "$(ip_of "$lead")" >/dev/null
  token=$(manager swarm join-token --quiet worker)
  for host in h1 h2 h3; do
    [[ $host == "$lead" ]] ||
      ask $host swarm join --token "$token" --advertise-addr "$(ip_of $host)" "$(ip_of "$lead"):2377" >/dev/null
    watch $host
  done
  eventually 60 ready 3
  manager network create --driver overlay --subnet 10.20.0.0/24 blue >/dev/null
  # The page is a program that tells where it is.
  manager service create --detach --quiet --name web --network blue --replicas 6 --no-resolve-image \
    --publish 8080:80 --hostname '{{.Node.Hostname}}' --stop-grace-period 1s "$LAB_IMAGE" \
    sh -c 'mkdir -p /w/cgi-bin; printf "#!/bin/sh\necho; hostname\n" >/w/cgi-bin/who; chmod 755 /w/cgi-bin/who
      trap "exit 0" TERM; httpd -f -p 80 -h /w & wait' >/dev/null 2>&1
  has_come 6 "six endpoints"
}

# (The other way, through the dockerd's balancing, needs IPVS: tests/guest/swarm.sh.)
balance()
{
  local host vip id
  step "the service's address and its port, by our nodes: tasks on all three answer"
  # all_answer COMMAND...: within thirty connections.
  all_answer() { [[ $(for ((i = 0; i < 30; i++)); do "$@"; done | sort -u | xargs) == "h1 h2 h3" ]]; }
  vip=$(manager service inspect web --format '{{range .Endpoint.VirtualIPs}}{{println .Addr}}{{end}}' | sed -n 's|^\(10\.20\.0\..*\)/.*|\1|p')
  for host in h1 h2; do
    id=$(skep "$host" ps -q --no-trunc | sed -n 1p)
    eventually 60 all_answer on $host nsenter --net="$LAB/$host/exec/netns/${id:0:12}" -- curl -sS --max-time 5 "http://$vip/cgi-bin/who"
    eventually 60 all_answer on h4 curl -sS --max-time 5 "http://$(ip_of $host):8080/cgi-bin/who"
  done
}

come_and_go()
{
  step "endpoints come and go"
  in_sequence manager service scale --detach "web=$ENDPOINTS" >/dev/null
  has_come "$ENDPOINTS" "$ENDPOINTS endpoints"
  in_sequence manager service scale --detach web=4 >/dev/null
  has_come 4 "four endpoints"
}

hand_over()
{
  step "the dockerd hands the swarm over to skepd, and is a worker"
  leads() { [[ $(ask "$1" info --format '{{.Swarm.ControlAvailable}}') == "$2" ]]; }
  in_sequence manager node promote h1 >/dev/null
  eventually 60 leads h1 true
  # Its first words may not have come to the other yet: then a demotion is refused.
  eventually 60 ask h1 node demote h3
  eventually 60 leads h3 false
  lead=h1
  eventually 60 ready 3
  has_come 4 "the four endpoints"
}

renew_keys() # by our own command: docker's has no word for it
{
  local before1 before2
  step "network keys are renewed on demand: gossip and the network go on"
  keys_changed() { grep -c 'gossip key changed' "$LAB/$1/skepd.log" || true; }
  before1=$(keys_changed h1) before2=$(keys_changed h2)
  "$SKEP_BUILD/skep" --host "unix://$LAB/h1/skep.sock" swarm update --rotate-network-keys >/dev/null
  renewed() { (($(keys_changed "$1") > $2)); }
  eventually 60 renewed h1 "$before1"
  eventually 60 renewed h2 "$before2"
}

die_and_return()
{
  local cut spent
  in_sequence manager service scale --detach web=6 >/dev/null
  has_come 6 "six endpoints"

  step "a node's power is cut: its rows and names go everywhere"
  in_sequence manager swarm update --dispatcher-heartbeat 2s >/dev/null
  host_kill h2
  cut=$(date +%s%3N)
  down() { manager node ls --format '{{.Hostname}} {{.Status}}' | has '^h2 Down'; }
  eventually 60 down
  soon 6 "without h2" h1 h3
  spent=$(($(longest 4 h1 h3) - cut))
  echo "    nothing is stale $spent ms after the cut"
  [[ -z $STRICT ]] || ((spent <= 30000)) || fail "something was stale for $spent ms: $(<"$LAB/right")"
  eventually 60 reach h1 h3

  step "it returns, and gets tasks: they come everywhere"
  host_boot h2
  skep_start h2
  watch h2
  eventually 60 ready 3
  in_sequence manager swarm update --dispatcher-heartbeat 5s >/dev/null
  in_sequence manager service scale --detach web=9 >/dev/null
  has_come 9 "nine endpoints"
  [[ -n $(skep h2 ps -q) ]] || fail "h2 has no task"
}

understood()
{
  local host
  step "gossip of each with the stock node was on the wire, and the stock node understands it"
  kill "$capture"
  wait "$capture" || true
  # Datagrams of each pair both ways, and conversations with at least one.
  tshark -r "$LAB/gossip.pcap" -T fields -e ip.src -e ip.dst -e ip.proto 2>>"$LAB/tshark.log" | sort -u >"$LAB/gossip"
  passed() { grep -q "^$1[[:space:]]$2[[:space:]]$3\$" "$LAB/gossip" || fail "none from $1 to $2 by protocol $3: $(cat "$LAB/gossip" "$LAB/tshark.log")"; }
  for host in h1 h2; do
    passed "$(ip_of $host)" "$(ip_of h3)" 17
    passed "$(ip_of h3)" "$(ip_of $host)" 17
  done
  passed '.*' "$(ip_of h3)" 6
  if grep -iE 'level=(error|warning).*(decode|decrypt|unmarshal|invalid peer|msgType|checksum|not understood)' "$LAB/h3/dockerd.log"; then
    fail "the stock node does not understand our rows"
  fi
}

for form in $FORMS; do
  if [[ $form == skep ]]; then first=h1; else first=h3; fi
  step "$form: two nodes of skepd, one of dockerd, one swarm, one network, led by $first"
  gather $first
  balance
  come_and_go
  [[ $form != handover ]] || hand_over
  [[ $form == stock ]] || renew_keys
  die_and_return
  understood
  for host in h1 h2 h3; do
    host_reboot $host
    rm -rf "$LAB/$host"/{skep,exec,docker,seen}
  done
done
