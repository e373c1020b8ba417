#!/bin/bash
# docker service logs: the lines of tasks come from the nodes they run on, followed or not, with tail,
# streams and times, and new tasks join a reader that follows.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }
skep_start h1
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null

step "two tasks' lines, both streams"
docker service create -d --stop-grace-period 1s --name talk --replicas 2 "$LAB_IMAGE" \
  sh -c 'for i in 1 2 3; do echo "line $i"; done; echo bad >&2; sleep 100000' >/dev/null
all() { [[ $(docker service logs talk 2>/dev/null | grep -c 'line [123]$') == 6 ]]; }
eventually 60 all
errors() { [[ $(docker service logs talk 2>&1 >/dev/null | grep -c 'bad$') == 2 ]]; }
eventually 60 errors
same 2 "$(docker service logs --tail 1 talk 2>&1 | wc -l)" "one line of each"
grep -q '^20' <<<"$(docker service logs -t --raw talk 2>&1)" || fail "no times"

step "one task's lines"
task=$(docker service ps talk -q | head -1)
same 3 "$(docker service logs --raw "$task" 2>/dev/null | wc -l)" "lines of a task"

step "details: what the options of the log name"
docker service create -d --stop-grace-period 1s --name told --label no=1 --container-label cl=2 --container-label x.q=3 \
  --env FOO=bar --env 'PLACE=a b' --log-driver json-file --log-opt labels=cl,no \
  --log-opt labels-regex='^x\.' --log-opt env=FOO --log-opt tag='{{.Name}}' \
  "$LAB_IMAGE" sh -c 'echo hi; sleep 100000' >/dev/null
told() { [[ $(docker service logs --raw --details told 2>/dev/null) == *" hi" ]]; }
eventually 60 told
task=$(docker service ps told -q --no-trunc)
same "FOO=bar,cl=2,tag=told.1.$task,x.q=3 hi" \
  "$(docker service logs --details told | sed 's/^[^|]*| //')" "details"
same "FOO=bar,cl=2,tag=told.1.$task,x.q=3 hi" \
  "$(docker logs --details "told.1.$task")" "details of the task's container"
id=$(docker create --label x.y=1 --label xz=2 --env 'BAR=a b,c' --log-opt env-regex='^B' \
  --log-opt labels=x.y --log-opt tag='{{.ImageName}}/{{.Command}}/{{upper .DaemonName}}' \
  "$LAB_IMAGE" echo hi)
docker start -a "$id" >/dev/null
details() { same "BAR=a+b%2Cc,tag=busybox%3Alab%2Fecho+hi%2FDOCKER,x.y=1 hi" "$(docker logs --details "$id")" "details"; }
eventually 60 details
refused "error parsing regexp" docker create --log-opt labels-regex='(' "$LAB_IMAGE"
refused "log-tag: template" docker create --log-opt tag='{{.Bad}}' "$LAB_IMAGE"
refused "unknown log opt 'tag' for log driver local" \
  docker create --log-driver local --log-opt tag=x "$LAB_IMAGE"
docker rm "$id" >/dev/null
docker service rm told >/dev/null

step "followed: a task that comes later joins"
docker service logs -f --raw talk >"$LAB/followed" 2>&1 &
follower=$!
lines() { [[ $(wc -l <"$LAB/followed") == "$1" ]]; }
eventually 60 lines 8
in_sequence docker service scale -d talk=3 >/dev/null
eventually 60 lines 12
kill "$follower"
wait "$follower" || true

step "much, and read slowly"
docker service create -d --stop-grace-period 1s --name much "$LAB_IMAGE" sh -c 'seq 1 200000; sleep 100000' >/dev/null
running() { [[ $(docker service ls --filter name=much --format '{{.Replicas}}') == 1/1 ]]; }
eventually 60 running
written() { [[ $(docker service logs --raw --tail 1 much 2>/dev/null) == 200000 ]]; }
eventually 60 written
same 200000 "$(docker service logs --raw much 2>/dev/null | (sleep 1; cat) | wc -l)" "lines"
docker service rm talk much >/dev/null
none() { [[ -z $(docker ps -q) ]]; }
eventually 60 none
skep_stop h1
