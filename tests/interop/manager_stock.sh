#!/bin/bash
# Stock dockerds work for our manager: they join with an unmodified `docker swarm join`, run the tasks of
# services, move them when a node is drained, and never notice that the manager was started again.
# ctest: COST 50
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker
lab_up 3

manager="$(ip_of h1):2377"
data=$LAB/h1/manager
program=$SKEP_BUILD/tests/interop/interop_manager
ask() { on h1 "$program" ask "$data" "$@"; }

serve()
{
  # shellcheck disable=SC2016 # expands on the host
  start h1 manager bash -c 'exec "$0" serve "$1" "$2" <"$3"' "$program" "$data" "$manager" \
    "$LAB/h1/stdin"
  eventually 60 grep -q ^leading "$LAB/h1/manager.log"
}

step "our manager on h1, stock dockerds on h2 and h3"
mkfifo "$LAB/h1/stdin"
exec 7<>"$LAB/h1/stdin"
serve
eventually 60 ask token
token=$(ask token)
for host in h2 h3; do
  stock_start $host
  stock_image $host
done

step "they join"
for host in h2 h3; do
  stock $host swarm join --token "$token" --advertise-addr "$(ip_of $host)" "$manager" >/dev/null
done
ready() { [[ $(ask nodes | grep -c ' ready worker ') == 2 ]]; }
eventually 60 ready
node_h2=$(ask nodes | awk '$4 == "h2" { print $1 }')
[[ -n $node_h2 ]] || fail "no node is called h2: $(ask nodes)"

# running N: so many tasks are to run and do, on the stock side too.
running()
{
  [[ $(ask tasks web | grep -c ' running running ') == "$1" ]] &&
    (($(stock h2 ps -q | wc -l) + $(stock h3 ps -q | wc -l) == $1))
}

step "a service runs on both"
ask create web "$LAB_IMAGE" 4 sleep 100000 >/dev/null
eventually 60 running 4
same 2 "$(stock h2 ps -q | wc -l)" "containers on h2"
name=$(stock h2 ps --format '{{.Names}}' | sed -n 1p)
[[ $name =~ ^web\.[1-4]\.[0-9a-z]{25}$ ]] || fail "a container is called $name"

step "it scales"
ask scale web 6
eventually 60 running 6
ask scale web 2
eventually 60 running 2

step "a node is drained"
ask drain "$node_h2"
alone() { running 2 && [[ $(stock h2 ps -q | wc -l) == 0 ]]; }
eventually 90 alone
ask active "$node_h2"

step "a container that dies is replaced"
stock h3 kill "$(stock h3 ps -q | sed -n 1p)" >/dev/null
replaced() { running 2 && [[ $(ask tasks web | grep -c ' failed ') -ge 1 ]]; }
eventually 60 replaced

step "the manager is killed and starts again; the containers run on"
before=$(stock h3 ps -q | sort)
kill9 h1 manager
: >"$LAB/h1/manager.log"
serve
eventually 60 ready
eventually 60 running 2
same "$before" "$(stock h3 ps -q | sort)" "containers on h3 after the manager's restart"

step "the service is removed"
ask remove web
empty() { (($(stock h2 ps -q | wc -l) + $(stock h3 ps -q | wc -l) == 0)); }
eventually 60 empty
