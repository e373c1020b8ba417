#!/bin/bash
# A skepd that founded a swarm runs the swarm's tasks itself: its node is ready, says truly what it is,
# runs containers that outlive it, and takes them away when it leaves.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox jq
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }

step "the founder's node is ready and describes itself"
echo '{"node-generic-resources": ["gpu=2", "disk=fast"], "labels": ["colour=green"]}' >"$LAB/daemon.json"
chmod 600 "$LAB/daemon.json"
skepd_starts() { skep_start h1 --config-file "$LAB/daemon.json" "$@"; }
skepd_starts
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
ready() { [[ $(docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}}') == 'h1 Ready Active' ]]; }
ready || fail "not ready when init was done: $(docker node ls)"
field() { docker node inspect self --format "{{$1}}"; }
same "$(nproc)000000000" "$(field .Description.Resources.NanoCPUs)" "processors"
same "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)" "$(($(field .Description.Resources.MemoryBytes) >> 20))" \
  "MiB of memory"
same linux/x86_64 "$(field .Description.Platform.OS)/$(field .Description.Platform.Architecture)" "platform" 2>/dev/null ||
  [[ $(uname -m) != x86_64 ]]
same green "$(field '(index .Description.Engine.Labels "colour")')" "the engine's label"
same 'disk fast,gpu 2,' "$(docker node inspect self --format '{{range .Description.Resources.GenericResources}}{{with .NamedResourceSpec}}{{.Kind}} {{.Value}},{{end}}{{with .DiscreteResourceSpec}}{{.Kind}} {{.Value}},{{end}}{{end}}')" \
  "its generic resources"
same "$(ip_of h1)" "$(field .Status.Addr)" "its address"
sed -i 's/green/blue/' "$LAB/daemon.json"
signal h1 skepd HUP
blue() { [[ $(field '(index .Description.Engine.Labels "colour")') == blue ]]; }
eventually 60 blue
ready || eventually 60 ready

step "tasks without networks run as containers here"
docker service create --detach --stop-grace-period 1s --name plain --replicas 2 --env SHAPE=round "$LAB_IMAGE" sleep 100000 >/dev/null
docker service create --detach --stop-grace-period 1s --name hosted --network host "$LAB_IMAGE" sleep 100000 >/dev/null
replicas() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
eventually 60 replicas plain 2/2
eventually 60 replicas hosted 1/1
sleepers() { on h1 pgrep -x -f 'sleep 100000' | sort; }
# A task runs before its program is the one it was told to be: crun's own comes first.
asleep() { [[ $(sleepers | wc -l) == "$1" ]]; }
eventually 60 asleep 3
shaped=0
for pid in $(sleepers); do
  on h1 grep -qz '^SHAPE=round$' "/proc/$pid/environ" && shaped=$((shaped + 1))
done
same 2 "$shaped" "processes with the service's environment"

step "an image's health check is the task's, unless its service says otherwise"
# An image like the lab's, with a check that passes once /tmp/well is there.
mkdir "$LAB/image"
docker save "$LAB_IMAGE" | tar -xC "$LAB/image"
old=$(jq -r '.[0].Config' "$LAB/image/manifest.json")
jq -c '.config.Healthcheck = {"Test": ["CMD-SHELL", "echo asked; test -e /tmp/well"], "Interval": 200000000, "Retries": 1000}' \
  "$LAB/image/$old" >"$LAB/image/new.json"
jq -c '.[0].Config = "new.json" | .[0].RepoTags = ["checked:lab"]' "$LAB/image/manifest.json" >"$LAB/manifest"
mv "$LAB/manifest" "$LAB/image/manifest.json"
tar -C "$LAB/image" -c . | docker load --quiet >/dev/null
docker service create --detach --stop-grace-period 1s --name checked checked:lab sleep 100001 >/dev/null
docker service create --detach --stop-grace-period 1s --name unchecked --no-healthcheck checked:lab sleep 100001 >/dev/null
docker service create --detach --stop-grace-period 1s --name own --health-cmd true checked:lab sleep 100001 >/dev/null
eventually 60 replicas unchecked 1/1
eventually 60 replicas own 1/1
container() { docker ps -q --filter "label=com.docker.swarm.service.name=$1"; }
health() { [[ $(docker inspect --format '{{.State.Health.Status}} {{(index .State.Health.Log 0).Output}}' "$(container "$1")") == "$2" ]]; }
eventually 60 health checked 'starting asked'
replicas checked 0/1 || fail "it runs before its check passed"
same '<nil>' "$(docker inspect --format '{{.State.Health}}' "$(container unchecked)")" "health of the one without"
docker exec "$(container checked)" touch /tmp/well
eventually 60 replicas checked 1/1
eventually 60 health checked 'healthy asked'
docker service rm checked unchecked own >/dev/null

step "scaled, updated"
in_sequence docker service scale --detach plain=4 >/dev/null
eventually 60 replicas plain 4/4
in_sequence docker service update --detach --update-parallelism 0 --env-add SIZE=large plain >/dev/null
updated() { [[ $(docker service inspect plain --format '{{.UpdateStatus.State}}') == completed ]]; }
eventually 60 updated
eventually 60 replicas plain 4/4
eventually 60 asleep 5

step "skepd is started again, and once more after it was killed: the same processes run on"
before=$(sleepers)
skep_stop h1
same "$before" "$(sleepers)" "processes without skepd"
skepd_starts
docker service ls >/dev/null || fail "skepd is ready, and its manager is not"
eventually 60 ready
eventually 60 replicas plain 4/4
same "$before" "$(sleepers)" "processes after the restart"
kill9 h1 skepd
skepd_starts
docker service ls >/dev/null || fail "skepd is ready after a crash, and its manager is not"
eventually 60 ready
eventually 60 replicas plain 4/4
same "$before" "$(sleepers)" "processes after the crash"
in_sequence docker service scale --detach plain=1 >/dev/null
eventually 60 replicas plain 1/1
eventually 60 asleep 2

step "where it is wanted, containers end with the daemon, and the tasks begin anew with it"
skep_stop h1
skepd_starts --live-restore=false --shutdown-timeout 1
eventually 60 replicas plain 1/1
skep_stop h1
same '' "$(sleepers)" "processes without skepd"
skepd_starts
eventually 60 replicas plain 1/1
eventually 60 replicas hosted 1/1
eventually 60 asleep 2

step "leaving takes the containers away"
docker swarm leave --force >/dev/null
same "" "$(sleepers)" "processes after leaving"
eventually 60 no_monitors h1
[[ ! -e $LAB/h1/skep/swarm && ! -e $LAB/h1/skep/node.json && ! -e $LAB/h1/skep/manager/raft ]] ||
  fail "leaving left files: $(ls -R "$LAB/h1/skep")"
same "" "$(find "$LAB/h1/skep/logs" "$LAB/h1/exec/runtime/containers" -mindepth 1)" "logs and containers"
if on h1 grep "$LAB/h1/skep" /proc/self/mountinfo; then fail "leaving left mounts"; fi
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
eventually 60 ready
skep_stop h1
