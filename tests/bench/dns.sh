#!/bin/bash
# The resolver at 127.0.0.11 of a sandbox, beside a stock dockerd's embedded one, dnsmasq and unbound,
# in turns on the same machine: answers from their own tables to 1 and to 10 clients, each with one
# question open. Each figure is the median of ROUNDS rounds; "per core" is by the processor time that
# the server used, so that neighbours on the machine disturb little.
#
# Prints a table, and all of it again as JSON lines. Aims: dnsmasq's rate at 10 clients, half of
# stock's latency at one.
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft dnsmasq unbound dockerd docker python3
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-2}
bench=$(realpath "$SKEP_BUILD/tests/bench/bench_dns")
node=$(realpath "$SKEP_BUILD/tests/interop/interop_dns")

lab_up 1
mkdir -p "$LAB/figures"

step "stock dockerd with a container named web on a network of its own"
stock_start h1
stock_image h1
stock h1 network create front >/dev/null
stock h1 run -d --name web --network front "$LAB_IMAGE" sleep 100000 >/dev/null
stock_pid=$(stock h1 inspect -f '{{.State.Pid}}' web)
# The engine's process ids are the machine's: hosts share that namespace's root.
stock_in() { on h1 nsenter --net="/proc/$stock_pid/ns/net" -- "$@"; }

step "ours, dnsmasq and unbound, each alone in a sandbox"
for who in skep dnsmasq unbound; do
  on h1 ip netns add "$who"
  on h1 ip -n "$who" link set lo up
done
on h1 mkfifo "$LAB/commands"
start h1 node sh -c "exec '$node' < '$LAB/commands'"
exec {to}> "$LAB/commands"
printf '%s\n' "network n1 front" "record n1 web1 name=web ip=10.0.1.2" "many n1 1000" \
  "sandbox s1 n1" "sockets s1 /run/netns/skep" settled >&"$to"
start h1 dnsmasq ip netns exec dnsmasq dnsmasq -k -C /dev/null --no-resolv --no-hosts --user=root \
  --pid-file= --listen-address=127.0.0.11 --bind-interfaces --host-record=web,10.0.1.2 \
  --log-facility=-
cat > "$LAB/unbound.conf" <<CONF
server:
  interface: 127.0.0.11
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "$LAB"
  pidfile: ""
  use-syslog: no
  local-data: "web. 600 IN A 10.0.1.2"
CONF
start h1 unbound ip netns exec unbound unbound -d -c "$LAB/unbound.conf"

# client WHO CLIENTS SECONDS
client()
{
  case $1 in
  stock) stock_in "$bench" 127.0.0.11 53 web "$2" "$3" ;;
  *) on h1 ip netns exec "$1" "$bench" 127.0.0.11 53 web "$2" "$3" ;;
  esac
}
for who in skep stock dnsmasq unbound; do eventually 20 client "$who" 1 0.2; done

# Processor time of a server in clock ticks. The resolver is the child of the node's stand-in.
server_of()
{
  case $1 in
  skep) child_of "$(pid_of h1 node)" ;;
  stock) pid_of h1 dockerd ;;
  *) pid_of h1 "$1" ;;
  esac
}
ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$(server_of "$1")/stat"; }

field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
for ((round = 1; round <= ROUNDS; round++)); do
  step "round $round of $ROUNDS"
  for clients in 1 10; do
    for who in skep stock dnsmasq unbound; do
      before=$(ticks_of "$who")
      line=$(client "$who" "$clients" "$SECONDS_EACH")
      awk -v t=$(($(ticks_of "$who") - before)) -v s="$SECONDS_EACH" \
        -v n="$(field rate <<<"$line")" 'BEGIN { printf "%.0f\n", n * s * 100 / (t ? t : 1) }' \
        >>"$LAB/figures/$clients.per_core.$who"
      for figure in rate p50_us p99_us lost; do
        field "$figure" <<<"$line" >>"$LAB/figures/$clients.$figure.$who"
      done
    done
  done
done
exec {to}>&-

median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
printf '\n%-24s %10s %10s %10s %10s\n' case skep dockerd dnsmasq unbound
for clients in 1 10; do
  for figure in rate per_core p50_us p99_us lost; do
    printf '%-24s' "$clients client(s), $figure"
    for who in skep stock dnsmasq unbound; do
      printf ' %10s' "$(median "$LAB/figures/$clients.$figure.$who")"
    done
    echo
  done
done
echo
# json CLIENTS FIGURE UNIT PEER PEER-NAME AIM: the ratio is ours to theirs for rates, and theirs to ours
# for times: above 1 is better than the peer.
json()
{
  local ours theirs ratio
  ours=$(median "$LAB/figures/$1.$2.skep") theirs=$(median "$LAB/figures/$1.$2.$4")
  if [[ $2 == rate || $2 == per_core ]]; then ratio="$ours / $theirs"; else ratio="$theirs / $ours"; fi
  printf '{"bench":"dns","case":"%s clients %s","unit":"%s","skep":%s,"peer":%s,"peer_name":"%s","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$3" "$ours" "$theirs" "$5" "$(awk "BEGIN { printf \"%.2f\", $ratio }")" "$6"
}
for clients in 1 10; do
  for peer in "stock dockerd" "dnsmasq dnsmasq" "unbound unbound"; do
    read -r who name <<<"$peer"
    rate_aim=null time_aim=null
    [[ $clients$who != 10dnsmasq ]] || rate_aim=1
    [[ $who != stock ]] || time_aim=2
    json "$clients" rate queries/s "$who" "$name" "$rate_aim"
    json "$clients" per_core "queries/s per core" "$who" "$name" null
    json "$clients" p50_us us "$who" "$name" "$time_aim"
    json "$clients" p99_us us "$who" "$name" "$time_aim"
  done
done
