#!/bin/bash
# The lab itself: two stock nodes in two hosts form a swarm, run a service, and leave no trace.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker
lab_up 2

step "a stock dockerd on each host"
stock_start h1
stock_start h2

step "h1 makes a swarm, h2 joins it"
stock h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(stock h1 swarm join-token --quiet worker)
stock h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377"

ready_nodes() { stock h1 node ls --format '{{.Hostname}} {{.Status}}' | sort | tr '\n' ' '; }
both_ready() { [[ $(ready_nodes) == 'h1 Ready h2 Ready ' ]]; }
eventually 60 both_ready

step "a task runs on each of them"
stock_image h1 h2
stock h1 service create --quiet --detach --mode global --name sleeper "$LAB_IMAGE" sleep 1000 >/dev/null
running() { [[ $(stock h1 service ps sleeper --format '{{.CurrentState}}' | grep -c '^Running') == 2 ]]; }
eventually 60 running

step "a cut cable is noticed"
cut_link h2
node_down() { [[ $(ready_nodes) == 'h1 Ready h2 Down ' ]]; }
eventually 60 node_down
heal_link h2
eventually 60 both_ready
