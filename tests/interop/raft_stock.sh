#!/bin/bash
# Our manager as a member of a stock swarm's Raft group: it gets the group's snapshot and entries, holds
# what the stock managers hold, is Reachable under load, comes back after its own crash and after theirs,
# makes a quorum with whichever of them is left, leads them, hands over and leaves.
# ctest: COST 65
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker curl
lab_up 3

program=$SKEP_BUILD/tests/interop/interop_raft_stock
data=$LAB/h2/node
ours="$(ip_of h2):2377"
mkdir -p "$data"

# create HOST NAME: may be tried again after a failure that left it open whether it was done.
create()
{
  stock "$1" service create --quiet --detach --no-resolve-image --replicas 0 --name "$2" busybox:1 >/dev/null ||
    stock "$1" service inspect "$2" >/dev/null
}
# without HOST NAME: the service is gone.
without()
{
  local left
  stock "$1" service rm "$2" >/dev/null || true
  left=$(stock "$1" service ls --format '{{.Name}}') && ! grep -qx "$2" <<<"$left"
}
begin() { start h2 manager "$program" "$1" "$data" "$ours" "$(ip_of h1):2377"; }
store() { on h2 timeout 60 "$program" dump "$data"; }
said() { grep -q "$1" "$LAB/h2/manager.log"; }

# reachability HOST: what the stock manager there thinks of our member.
reachability() { stock "$1" node inspect "$id" --format '{{.ManagerStatus.Reachability}}'; }
reachable() { [[ $(reachability "$1") == reachable ]]; }

# What a stock manager's clients are told, in the words of `dump`.
services_of()
{
  local ids
  mapfile -t ids < <(stock "$1" service ls --quiet)
  stock "$1" service inspect "${ids[@]}" --format \
    'service {{.ID}} {{.Spec.Name}} {{.Version.Index}} {{.Spec.TaskTemplate.ContainerSpec.Image}} {{.Spec.Mode.Replicated.Replicas}}' | sort
}
networks_of()
{
  local ids
  mapfile -t ids < <(stock "$1" network ls --quiet --filter scope=swarm)
  stock "$1" network inspect "${ids[@]}" --format \
    'network {{.ID}} {{.Name}} {{.Driver}}' | sort
}
nodes_of()
{
  local ids
  mapfile -t ids < <(stock "$1" node ls --quiet)
  stock "$1" node inspect "${ids[@]}" --format 'node {{.ID}} {{.Version.Index}}' | sort
}
told() { { networks_of "$1"; nodes_of "$1"; services_of "$1"; } }
# The store also has stand-ins for the nodes' own networks, which no client sees. It is read last: a
# machine under load takes half a minute to tell of 1,000 services.
alike()
{
  told "$1" | sort >"$LAB/told"
  store | grep -Ev '^log |^network [^ ]* (bridge|host) ' | sort | diff "$LAB/told" -
}

step "a stock manager whose log is cut early"
stock_start h1
stock h1 swarm init --advertise-addr "$(ip_of h1)" --availability drain --snapshot-interval 20 >/dev/null
# How many entries stay behind a snapshot is a setting without a flag.
api() { on h1 curl -fsS --unix-socket "$LAB/h1/docker.sock" "http://d/v1.41/$1" "${@:2}"; }
# Its managers go on to write to the swarm's object for a moment: another version is another try.
cut_early()
{
  local swarm version
  swarm=$(api swarm)
  [[ $swarm =~ \"Version\":\{\"Index\":([0-9]+)\} ]] || fail "no version in $swarm"
  version=${BASH_REMATCH[1]}
  sed 's/.*"Spec":\({.*}\),"TLSInfo".*/\1/; s/\("LogEntriesForSlowFollowers":\)[0-9]*/\15/' <<<"$swarm" >"$LAB/spec.json"
  api "swarm/update?version=$version" --header 'Content-Type: application/json' --data "@$LAB/spec.json"
}
eventually 60 cut_early
stock h1 network create --driver overlay --attachable front >/dev/null
for i in {1..30}; do create h1 "early-$i"; done

step "our manager joins and gets the snapshot"
id=$(on h2 "$SKEP_BUILD/tests/interop/interop_join_stock" join "$data" "$(ip_of h1):2377" \
  "$(stock h1 swarm join-token --quiet manager)")
begin serve
eventually 60 said '^ready'
eventually 60 reachable h1
eventually 60 alike h1
[[ $(store) =~ log\ begins\ after\ [1-9] ]] || fail "no snapshot was needed: $(store | grep ^log)"
same "$(services_of h1)" "$(on h2 timeout 60 "$program" ask "$data" | sort)" "services on our local socket"

# many LANE: 250 services, one request after the other by one client.
many()
{
  local i
  for i in {1..250}; do
    printf '%s\n' next fail silent show-error "unix-socket = $LAB/h1/docker.sock" 'output = /dev/null' \
      'url = http://d/v1.41/services/create' 'header = "Content-Type: application/json"'
    printf 'data = "{\\"Name\\":\\"many-%s-%s\\",%s}"\n' "$1" "$i" \
      '\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"busybox:1\"}},\"Mode\":{\"Replicated\":{\"Replicas\":0}}'
  done | tail -n +2 | on h1 curl --config -
}

step "it follows 1,000 services, created as fast as may be, and is Reachable all the while"
for lane in 1 2 3 4; do
  many "$lane" &
  lanes[lane]=$!
done
while kill -0 "${lanes[@]}" 2>/dev/null; do
  same reachable "$(reachability h1)" "our member, under load"
done
for lane in "${lanes[@]}"; do wait "$lane"; done
same 1030 "$(stock h1 service ls --quiet | wc -l)" "services"
eventually 60 alike h1

step "it is killed, and goes on from where it was"
raft_id=$(awk '/^ready/ { print $2 }' "$LAB/h2/manager.log")
kill9 h2 manager
: >"$LAB/h2/manager.log"
begin serve
eventually 60 said "^ready $raft_id\$"
eventually 60 reachable h1
eventually 60 without h1 early-1
eventually 60 without h1 early-2
eventually 60 create h1 after-our-crash
eventually 60 alike h1

step "the stock leader is started again"
stock_stop h1
stock_start h1
eventually 90 create h1 after-its-restart
eventually 60 reachable h1
eventually 60 alike h1

step "a second stock manager joins"
stock_start h3
# Docker waits for 20 s, and goes on in the background.
stock h3 swarm join --advertise-addr "$(ip_of h3)" --token "$(stock h1 swarm join-token --quiet manager)" "$(ip_of h1):2377" &>"$LAB/joined" ||
  grep -q background "$LAB/joined" || fail "$(cat "$LAB/joined")"
eventually 60 reachable h3
eventually 60 create h3 through-the-second
eventually 60 alike h3

step "the first stock manager dies: two are left and go on, whoever wins"
kill9 h1 dockerd
eventually 90 create h3 without-the-first
eventually 60 alike h3
stock_start h1
eventually 60 create h1 with-the-first-again
eventually 60 alike h1

step "our manager is started again, and is to lead when the leader dies"
leads() { grep -E '^(leading|following)' "$LAB/h2/manager.log" | tail -n 1 | grep -q ^leading; }
stock_leader() { stock h3 node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == "Leader" { print $1 }' | grep 'h[13]'; }
all_reachable() { [[ $(stock h3 node ls --format '{{.ManagerStatus}}' | grep -cE 'Leader|Reachable') == 3 ]]; }
# Ours is told to stand, as by a leader that hands over. Nobody votes for it while it lacks what the
# dead leader gave the other.
stand()
{
  local from term
  read -r from term < <(sed -nE 's/^(leading|following) leader=([0-9a-f]+) term=([0-9]+) .*/\2 \3/p' \
    "$LAB/h2/manager.log" | tail -n 1)
  [[ $from != 0 ]] || from=1
  on h2 timeout 30 "$program" stand "$data" "$ours" "$raft_id" "$from" "$term"
  within 5 leads
}
stop h2 manager # hands over if it leads
: >"$LAB/h2/manager.log"
begin serve
eventually 60 all_reachable
eventually 60 stock_leader
dead=$(stock_leader)
left=h1; [[ $dead == h3 ]] || left=h3
eventually 60 alike "$dead"
kill9 "$dead" dockerd
eventually 60 stand
eventually 60 create "$left" under-our-lead
eventually 60 alike "$left"
stock_start "$dead"
eventually 60 create "$dead" back-under-our-lead
eventually 60 alike "$left"

step "it hands over, and leaves the group"
stop h2 manager
: >"$LAB/h2/manager.log"
eventually 60 stock_leader
begin serve
eventually 60 all_reachable
demote() { stock "$(stock_leader)" node demote "$id" >/dev/null; } # the node may change meanwhile
eventually 60 demote
ended() { ! alive h2 manager; }
eventually 60 ended
said '^stopped NOT_FOUND' || fail "it did not hear that it was removed"
eventually 60 create h1 after-we-left
same "" "$(stock h1 node inspect "$id" --format '{{with .ManagerStatus}}{{.Reachability}}{{end}}')" "what is left of our member"
