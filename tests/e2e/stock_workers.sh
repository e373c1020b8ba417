#!/bin/bash
# A swarm whose manager is skepd and whose workers are stock dockerds, driven by the unmodified docker
# command: init, join, a network, services of both kinds with all that a container may be given, updates
# that succeed and fail, drain, the manager's restart, removal, leaving.
# ctest: COST 75
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker curl busybox
lab_up 3

STARTS=240 # the seconds that a stock engine may need to start tasks on a busy machine

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
eventually 120 ready

step "an overlay network and a service on it"
containers() { stock "$1" ps -q --filter "label=com.docker.swarm.service.name=$2" | sort; }
replicas() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
# spread NAME COUNT COUNT: it runs so many times on h2 and on h3, on the stock side too.
spread()
{
  replicas "$1" "$(($2 + $3))/$(($2 + $3))" && [[ $(containers h2 "$1" | wc -w) == "$2" && $(containers h3 "$1" | wc -w) == "$3" ]]
}
# runs NAME COUNT: so many in all, wherever they are.
runs()
{
  replicas "$1" "$2/$2" && [[ $( (containers h2 "$1"; containers h3 "$1") | wc -w) == "$2" ]]
}
said() { docker service ps "$1" --no-trunc --format '{{.CurrentState}} {{.Error}}' | grep -Eq "$2"; }
update_is() { [[ $(docker service inspect web --format '{{.UpdateStatus.State}}') == "$1" ]]; }
arguments() { docker service inspect web --format '{{.Spec.TaskTemplate.ContainerSpec.Args}}'; }
docker network create --driver overlay --subnet 10.0.0.0/24 mynet >/dev/null
# On a busy machine a stock engine's task may fail for a reason of its own: no update stops at that.
docker service create --detach --name web --replicas 2 --network mynet --env COLOUR=green --stop-grace-period 1s \
  --restart-delay 1s --update-monitor 1s --update-failure-action continue --rollback-monitor 1s \
  --rollback-parallelism 2 --rollback-failure-action continue "$LAB_IMAGE" sleep 100000 >/dev/null
eventually "$STARTS" spread web 1 1
same 2 "$(docker service ps web --filter desired-state=running --format '{{.CurrentState}}' | grep -c ^Running)" \
  "running tasks"
container=$(containers h2 web)
same green "$(stock h2 inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" | sed -n 's/^COLOUR=//p')" \
  "the environment of a container on h2"
name=$(stock h2 inspect --format '{{.Name}}' "$container")
[[ $name =~ ^/web\.[12]\.[0-9a-z]{25}$ ]] || fail "a container is called $name"

step "a global service with secret, config, templates, mounts, a health check and a port of the host"
echo hush | docker secret create quiet - >/dev/null
# shellcheck disable=SC1083 # a template
echo 'of {{.Service.Name}}' | docker config create --template-driver golang where - >/dev/null
# shellcheck disable=SC2016 # for the container
docker service create --detach --name rich --mode global --constraint node.role==worker \
  --secret source=quiet,target=told,mode=0400 --config source=where,target=/where \
  --stop-grace-period 1s --env 'WHO={{.Service.Name}} on {{.Node.Hostname}}' --mount type=volume,source=kept,target=/kept \
  --mount type=tmpfs,target=/scratch --health-cmd 'test -e /kept/well' --health-interval 1s \
  --health-start-period 60s --publish mode=host,published=7000,target=7 "$LAB_IMAGE" \
  sh -c 'echo "$WHO, $(cat /run/secrets/told), $(cat /where), $(grep -c " /scratch tmpfs " /proc/mounts)"
    touch /kept/well; exec nc -ll -p 7 -e cat' >/dev/null
eventually "$STARTS" spread rich 1 1
lines() { same "rich on h2, hush, of rich, 1|rich on h3, hush, of rich, 1|" "$(docker service logs --raw rich | sort -u | tr '\n' '|')" "the logs"; }
eventually 60 lines
echoes() { [[ $(echo heard | on h1 timeout 15 busybox nc "$(ip_of "$1")" 7000) == heard ]]; }
for host in h2 h3; do eventually 60 echoes $host; done

step "placement: by a label, and nowhere, with the reason"
for host in h2 h3; do eventually 60 docker node update --label-add "zone=$host" $host; done
docker service create --detach --name near --replicas 2 --constraint node.labels.zone==h3 \
  --placement-pref spread=node.labels.zone --stop-grace-period 1s "$LAB_IMAGE" sleep 100000 >/dev/null
eventually "$STARTS" spread near 0 2
in_sequence docker service update --detach --constraint-rm node.labels.zone==h3 --constraint-add node.labels.zone==h4 near >/dev/null
eventually 60 said near '^Pending.*no suitable node \(.*scheduling constraints not satisfied'
docker service rm near >/dev/null

step "scaled, and rolled forward; a failing update rolls itself back"
in_sequence docker service scale --detach web=4 >/dev/null
eventually "$STARTS" runs web 4
in_sequence docker service update --detach --env-add SHAPE=round --update-parallelism 2 web >/dev/null
eventually "$STARTS" update_is completed
eventually "$STARTS" runs web 4
in_sequence docker service update --detach --update-failure-action rollback --update-monitor 240s --args 'sh -c "exit 7"' web >/dev/null
eventually "$STARTS" update_is rollback_completed
same '[sleep 100000]' "$(arguments)" "what it runs"
eventually 60 said web '^Failed.*task: non-zero exit \(7\)'
eventually "$STARTS" runs web 4
refused 'no such service' docker service inspect nosuch
refused 'already exists' docker service create --detach --name web "$LAB_IMAGE"

step "a drained node gives up all; a container that dies is replaced; fewer replicas"
eventually 60 docker node update --availability drain h2
eventually "$STARTS" spread web 0 4
eventually "$STARTS" spread rich 0 1
stock h3 kill "$(containers h3 web | sed -n 1p)" >/dev/null
eventually 60 said web '^Failed.*task: non-zero exit \(137\)'
eventually "$STARTS" spread web 0 4
eventually 60 docker node update --availability active h2
eventually "$STARTS" spread rich 1 1
in_sequence docker service scale --detach web=2 >/dev/null
eventually 120 spread web 0 2

step "skepd is started again, and killed and started again: the swarm goes on, and no container notices"
before="$(containers h3 web) $(containers h2 rich) $(containers h3 rich)"
skep_stop h1
skep_start h1
eventually 120 ready
kill9 h1 skepd
skep_start h1
eventually 120 ready
eventually 60 replicas web 2/2
same "$before" "$(containers h3 web) $(containers h2 rich) $(containers h3 rich)" "containers after the restarts"
same "$token" "$(docker swarm join-token --quiet worker)" "the join token"

step "a worker leaves and is removed: the other has its tasks"
node=$(stock h3 info --format '{{.Swarm.NodeID}}')
refused "is not down and can't be removed" docker node rm "$node"
stock h3 swarm leave >/dev/null
is_down() { [[ $(docker node inspect "$node" --format '{{.Status.State}}') == down ]]; }
eventually 120 is_down
docker node rm "$node" >/dev/null
same "h1 h2" "$(docker node ls --format '{{.Hostname}}' | sort | xargs)" "nodes"
eventually "$STARTS" spread web 2 0

step "the service and the network go"
docker service rm web rich >/dev/null
empty() { [[ -z $(stock h2 ps -q)$(stock h3 ps -q) ]]; }
eventually 120 empty
gone_network() { docker network rm mynet || [[ -z $(docker network ls -q --filter name=mynet) ]]; }
eventually 60 gone_network

step "leaving needs force, and leaves nothing"
refused 'last manager erases|--force' docker swarm leave
docker swarm leave --force >/dev/null
same inactive "$(docker info --format '{{.Swarm.LocalNodeState}}')" "after leaving"
[[ ! -e $LAB/h1/skep/swarm && ! -e $LAB/h1/skep/node.json && ! -e $LAB/h1/skep/manager/raft ]] ||
  fail "leaving left files: $(ls -R "$LAB/h1/skep")"
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
