#!/bin/bash
# Managers of both kinds in one swarm: skepd joins a stock swarm as a manager, and a stock dockerd one of
# skepd's; both see the same, the loss of either leader is survived, and either can be demoted.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker dockerd conmon crun umoci busybox
lab_up 3
skep_image h1 h2

# On each host of the test one daemon runs: skepd on h1 and h2, dockerd on h3.
ask() { local host=$1; shift; if [[ $host == h3 ]]; then stock h3 "$@"; else skep "$host" "$@"; fi; }
nodes() { ask "$1" node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}' | sort; }
leader() { nodes "$1" | sed -n 's/ Ready Leader$//p'; }
settled() { [[ $(nodes "$1" | cut -d' ' -f2- | sort | tr '\n' ,) == 'Ready Leader,Ready Reachable,Ready Reachable,' ]]; }
controls() { [[ $(ask "$1" info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}') == "active $2" ]]; }
replicas() { [[ $(ask "$1" service ls --filter "name=$2" --format '{{.Replicas}}') == "$3" ]]; }
sleepers() { on "$1" pgrep -x -f 'sleep 100000' | sort; }

step "two skepd join a stock swarm as managers"
stock_start h3
stock_image h3
skep_start h1
skep_start h2
stock h3 swarm init --advertise-addr "$(ip_of h3)" >/dev/null
# Whoever is cut off shortly keeps its tasks.
eventually 60 stock h3 swarm update --dispatcher-heartbeat 20s
token=$(stock h3 swarm join-token --quiet manager)
for host in h1 h2; do skep $host swarm join --token "$token" "$(ip_of h3):2377" >/dev/null; done
for host in h1 h2 h3; do eventually 60 settled $host; done
# h3 leads, but where the machine is so busy that it missed its beats.

step "a service made at skepd is the same at the stock manager"
skep h1 service create --detach --quiet --no-resolve-image --stop-grace-period 1s --name web --replicas 6 "$LAB_IMAGE" sleep 100000 >/dev/null
for host in h1 h2 h3; do eventually 60 replicas $host web 6/6; done
same "$(skep h1 service inspect web --format '{{.ID}} {{.Spec.Mode.Replicated.Replicas}} {{.CreatedAt}}')" \
  "$(stock h3 service inspect web --format '{{.ID}} {{.Spec.Mode.Replicated.Replicas}} {{.CreatedAt}}')" "the service"
# A task runs a moment before its program does.
runs() { [[ $(sleepers "$1" | wc -l) == "$2" ]]; }
for host in h1 h2; do eventually 60 runs $host 2; done

step "the stock leader is demoted: a skepd leads, and the stock engine works on"
tasks=$(sleepers h1)
eventually 60 stock h3 node demote h3 # what a node says of itself meanwhile may be in the way
eventually 60 controls h3 false
leads() { [[ $(leader h1) =~ ^h[12]$ ]]; }
eventually 60 leads
in_sequence skep h1 service scale --detach web=7 >/dev/null
eventually 90 replicas h1 web 7/7

step "promoted again, it is a manager among skepd's"
eventually 60 skep h2 node promote h3
eventually 60 controls h3 true
for host in h1 h2 h3; do eventually 60 settled $host; done
in_sequence stock h3 service scale --detach web=6 >/dev/null
for host in h1 h2 h3; do eventually 90 replicas $host web 6/6; done

step "the leading skepd's cable is pulled: the others go on"
leads3() { [[ $(leader h3) =~ ^h[12]$ ]]; }
eventually 60 leads3
lost=$(leader h3)
other=h1
[[ $lost != h1 ]] || other=h2
cut_link "$lost"
writes() { ask $other node update --label-add on=yes $other; }
eventually 60 writes
writes3() { stock h3 node update --label-add on=yes $other; }
eventually 60 writes3
heal_link "$lost"
for host in h1 h2 h3; do eventually 60 settled $host; done

step "a skepd is demoted by the stock command, and leaves"
kept=$(sleepers "$lost")
eventually 60 stock h3 node demote "$lost"
eventually 60 controls "$lost" false
same "$kept" "$(sleepers "$lost")" "its tasks"
eventually 60 skep "$lost" swarm leave # the demotion ends first
same '' "$(sleepers "$lost")" "tasks of a node that left"
[[ -n $tasks ]] || fail "h1 had tasks"
