#!/bin/bash
# A swarm whose manager is skepd and whose workers are stock dockerds, driven by the unmodified docker
# command: init, join, a network, a service that runs, scales, updates and goes; a restart; leaving.
# ctest: TIMEOUT 300
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker curl
lab_up 3

docker() { skep h1 "$@"; }

step "docker swarm init on skepd"
skep_start h1
# What cannot be founded changes nothing.
printf '{"ListenAddr":"0.0.0.0:2377","Spec":{"Labels":{"large":"%s"}},"AdvertiseAddr":"%s"}' "$(head -c 20000 /dev/zero | tr '\0' x)" \
  "$(ip_of h1)" >"$LAB/large.json"
same 400 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$LAB/h1/skep.sock" -H 'Content-Type: application/json' \
  --data "@$LAB/large.json" http://d/v1.41/swarm/init)" "founding with too large settings"
same inactive "$(docker info --format '{{.Swarm.LocalNodeState}}')" "before"
said=$(docker swarm init --advertise-addr "$(ip_of h1)")
[[ $said == *"docker swarm join --token SWMTKN-1-"*"$(ip_of h1):2377"* ]] || fail "init said: $said"
same active "$(docker info --format '{{.Swarm.LocalNodeState}}')" "after"
refused 'already part of a swarm' docker swarm init --advertise-addr "$(ip_of h1)"
same 1 "$(docker node ls --format '{{.ManagerStatus}}' | grep -c Leader)" "leaders"
eventually 60 docker node update --availability drain h1

step "stock dockerds join as workers"
token=$(docker swarm join-token --quiet worker)
for host in h2 h3; do
  stock_start $host
  stock_image $host
  stock $host swarm join --token "$token" --advertise-addr "$(ip_of $host)" "$(ip_of h1):2377" >/dev/null
done
ready() { [[ $(docker node ls --format '{{.Hostname}} {{.Status}}' | grep -c 'h[23] Ready') == 2 ]]; }
eventually 60 ready

step "an overlay network and a service on it"
docker network create --driver overlay --subnet 10.0.0.0/24 mynet >/dev/null
docker service create --detach --name web --replicas 2 --network mynet --env COLOUR=green \
  "$LAB_IMAGE" sleep 100000 >/dev/null
replicas() { [[ $(docker service ls --filter name=web --format '{{.Replicas}}') == "$1" ]]; }
eventually 60 replicas 2/2
same 2 "$(docker service ps web --filter desired-state=running --format '{{.CurrentState}}' | grep -c ^Running)" \
  "running tasks"
container=$(stock h2 ps -q --filter label=com.docker.swarm.service.name=web | head -1)
[[ -n $container ]] || container=$(stock h3 ps -q --filter label=com.docker.swarm.service.name=web | head -1)
same green "$(stock h2 inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" 2>/dev/null |
  sed -n 's/^COLOUR=//p')" "the environment of a container on h2" 2>/dev/null ||
  fail "no container on h2"

step "scale, update, inspect"
docker service scale --detach web=4 >/dev/null
eventually 90 replicas 4/4
docker service update --detach --env-add SHAPE=round --update-parallelism 2 web >/dev/null
updated() { [[ $(docker service inspect web --format '{{.UpdateStatus.State}}') == completed ]]; }
eventually 90 updated
eventually 60 replicas 4/4
refused 'no such service' docker service inspect nosuch
refused 'already exists' docker service create --detach --name web "$LAB_IMAGE"

step "skepd is started again: the swarm goes on"
skep_stop h1
skep_start h1
eventually 60 ready
eventually 60 replicas 4/4
same "$token" "$(docker swarm join-token --quiet worker)" "the join token"

step "the service and the network go"
docker service rm web >/dev/null
empty() { (($(stock h2 ps -q | wc -l) + $(stock h3 ps -q | wc -l) == 0)); }
eventually 60 empty
gone_network() { docker network rm mynet || [[ -z $(docker network ls -q --filter name=mynet) ]]; }
eventually 60 gone_network

step "leaving needs force, and leaves nothing"
refused 'last manager erases|--force' docker swarm leave
docker swarm leave --force >/dev/null
same inactive "$(docker info --format '{{.Swarm.LocalNodeState}}')" "after leaving"
[[ ! -e $LAB/h1/skep/swarm && ! -e $LAB/h1/skep/node.json && ! -e $LAB/h1/skep/manager/raft ]] ||
  fail "leaving left files: $(ls -R "$LAB/h1/skep")"
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
