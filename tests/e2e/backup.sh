#!/bin/bash
# A manager's files, copied while its skepd is stopped, are the whole cluster: on another host they go on as a
# cluster of one, with all that was in it, as README says it.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox
lab_up 3
skep_image h1 h2 h3
sleepers() { on "$1" pgrep -x -f 'sleep 100000' | wc -l; }
runs() { [[ $(skep "$1" service ls --format '{{.Replicas}}') == "$2" ]]; }
FILES='node.json swarm manager'

step "a cluster, and a copy of what a manager keeps of it"
skep_start h1
skep_start h3
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h3 swarm join --token "$(skep h1 swarm join-token --quiet worker)" "$(ip_of h1):2377" >/dev/null
skep h1 network create --driver overlay web >/dev/null
echo hidden | skep h1 secret create word - >/dev/null
skep h1 service create --quiet --detach --name web --network web --secret word --replicas 2 "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
eventually 60 runs h1 2/2
token=$(skep h1 swarm join-token --quiet worker)
service=$(skep h1 service inspect web --format '{{.ID}}')
before=$(sleepers h1)
skep_stop h1
# shellcheck disable=SC2086 # several names
tar -C "$LAB/h1/skep" -cpf "$LAB/backup.tar" $FILES
same "$before" "$(sleepers h1)" "tasks that run on while their skepd is stopped"

step "it goes on elsewhere, alone: with services, networks, secrets and tokens"
mkdir -p "$LAB/h2/skep"
tar -C "$LAB/h2/skep" -xpf "$LAB/backup.tar"
skep_start h2
skep h2 swarm init --force-new-cluster --advertise-addr "$(ip_of h2)" >/dev/null
same "$service" "$(skep h2 service inspect web --format '{{.ID}}')" "the service"
same "web" "$(skep h2 network ls --filter driver=overlay --filter name=web --format '{{.Name}}')" "the network"
same "$token" "$(skep h2 swarm join-token --quiet worker)" "the token"
eventually 60 runs h2 2/2
box=$(skep h2 ps --quiet --filter name=web. | head -1)
same hidden "$(skep h2 exec "$box" cat /run/secrets/word)" "the secret"

step "others join it anew"
skep h3 swarm leave --force >/dev/null
skep h3 swarm join --token "$token" "$(ip_of h2):2377" >/dev/null
skep h2 service scale --detach web=4 >/dev/null
eventually 60 runs h2 4/4
(($(sleepers h3) > 0)) || fail "h3 has no task"

step "files that are not all there are no cluster, and that is said"
skep_stop h2
rm -rf "$LAB/h2/skep/manager"
skep_start h2
refused 'is not a swarm manager' skep h2 service ls
said() { [[ $(skep h2 info --format '{{.Swarm.LocalNodeState}} {{.Swarm.Error}}') == 'error this manager has no raft state' ]]; }
eventually 60 said
