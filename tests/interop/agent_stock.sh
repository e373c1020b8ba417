#!/bin/bash
# Our agent as a worker of a stock manager, with containers pretended: tasks are assigned, reported,
# updated, scaled and removed; they are remembered across a crash; a root rotation runs through.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker openssl
lab_up 2

program=$SKEP_BUILD/tests/interop/interop_agent_stock
dir=$LAB/h2/agent
mkdir -m 700 "$dir"
stock_start h1
stock h1 swarm init --advertise-addr "$(ip_of h1)" --availability drain >/dev/null
token=$(stock h1 swarm join-token --quiet worker)
id=$(on h2 "$program" join "$dir" "$(ip_of h1):2377" "$token")
start h2 agent "$program" run "$dir"
status() { stock h1 node inspect "$id" --format '{{.Status.State}}'; }
is_ready() { [[ $(status) == ready ]]; }
eventually 60 is_ready

step "three tasks of a service run here"
create() { stock h1 service create --quiet --detach --no-resolve-image "$@" >/dev/null; }
create --name web --replicas 3 --env 'SLOT={{.Task.Slot}}' pretended:1 sleep 1000
running() { stock h1 service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running' || true; }
runs() { [[ $(running "$1") == "$2" ]]; }
eventually 60 runs web 3

step "scaled up and down, updated, a global one beside it"
in_sequence stock h1 service scale --detach web=20 >/dev/null
eventually 60 runs web 20
in_sequence stock h1 service scale --detach web=2 >/dev/null
eventually 60 runs web 2
in_sequence stock h1 service update --quiet --detach --update-parallelism 0 --env-add A=2 web >/dev/null
updated() { [[ $(stock h1 service inspect web --format '{{.UpdateStatus.State}}') == completed ]]; }
eventually 60 updated
eventually 60 runs web 2
create --name everywhere --mode global pretended:1 sleep 1000
eventually 60 runs everywhere 1
failed() { stock h1 service ps "$1" --no-trunc --format '{{.Error}}' | grep "$2"; }
create --name broken --restart-condition none --hostname '{{.Task.Slot}}{{with .Task}}{{end}}' pretended:1
eventually 60 failed broken 'expanding hostname: template: not supported: with .Task'

step "a new root: the agent renews, takes it, and the rotation ends"
before=$(stock h1 swarm ca)
in_sequence stock h1 swarm ca --rotate --detach --quiet
rotated() { [[ $(<"$dir/certificates/swarm-root-ca.crt") == "$(stock h1 swarm ca)" && $(stock h1 swarm ca) != "$before" ]]; }
eventually 60 rotated
openssl verify -CAfile "$dir/certificates/swarm-root-ca.crt" "$dir/certificates/swarm-node.crt" >/dev/null
eventually 60 is_ready
runs web 2 || fail "the rotation cost tasks: $(running web) run"

step "a crashed agent comes back: what it lost is said, and replaced"
kill9 h2 agent
start h2 agent "$program" run "$dir"
eventually 60 failed web "lost while the agent was away"
eventually 60 runs web 2

step "the manager's restart costs nothing"
stock_stop h1
stock_start h1
eventually 60 is_ready
eventually 60 runs web 2

step "all services removed: nothing is left"
stock h1 service rm web everywhere broken >/dev/null
no_tasks() { [[ -z $(stock h1 node ps "$id" --format '{{.ID}}') ]]; }
eventually 60 no_tasks
stop h2 agent
grep -q '"addr":"'"$(ip_of h1):2377"'"' "$dir/state.json" || fail "state.json: $(<"$dir/state.json")"
if grep -E 'Sanitizer|runtime error|broken invariant' "$LAB/h2/agent.log"; then fail "the agent did not end cleanly"; fi
