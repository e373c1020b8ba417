#!/bin/bash
# A skepd as the worker of a stock dockerd: its tasks are containers, and all that a user of the stock
# command does with a worker works. TASKS=50 is the long form of scaling.
# ctest: COST 65
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker dockerd conmon crun umoci busybox
TASKS=${TASKS:-8}
LAB_STOP_SECONDS=60
lab_up 2
skep_image h2
mkdir "$LAB/build"
cp "$SKEP_BUILD"/skepd "$SKEP_BUILD"/*.so "$LAB/build"
SKEP_BUILD=$LAB/build
manager() { stock h1 "$@"; }
create() { manager service create --detach --quiet --no-resolve-image "$@" >/dev/null; }
sleepers() { on h2 pgrep -x -f 'sleep 100000' | sort; }
count() { [[ $(sleepers | wc -l) == "$1" ]]; }
is() { [[ $(manager node inspect "$node" --format '{{.Status.State}}') == "$1" ]]; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
settled() { replicas web "$1/$1" && count "$1"; }
update_is() { [[ $(manager service inspect web --format '{{.UpdateStatus.State}}') == "$1" ]]; }

step "it joins, and says truly what it is"
stock_start h1
manager swarm init --advertise-addr "$(ip_of h1)" --availability drain >/dev/null
skep_start h2
skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" "$(ip_of h1):2377" >/dev/null
node=$(skep h2 info --format '{{.Swarm.NodeID}}')
is ready || fail "not ready when join was done: $(manager node ls)"
same "h2 linux $(nproc)000000000 $(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))" "$(manager node inspect "$node" \
  --format '{{with .Description}}{{.Hostname}} {{.Platform.OS}} {{.Resources.NanoCPUs}} {{.Resources.MemoryBytes}}{{end}}')" \
  "its description"

step "scaled up and down"
create --name web --replicas 1 --stop-grace-period 1s --update-parallelism 0 "$LAB_IMAGE" sleep 100000
eventually 60 settled 1
in_sequence manager service scale --detach "web=$TASKS" >/dev/null
eventually $((60 + 2 * TASKS)) settled "$TASKS"
in_sequence manager service scale --detach web=2 >/dev/null
eventually $((60 + 2 * TASKS)) settled 2

step "secrets, configs, templates, mounts, limits and a health check are in its containers"
echo hush | manager secret create quiet - >/dev/null
# shellcheck disable=SC1083 # a template
echo 'at {{.Node.Hostname}}' | manager config create --template-driver golang where - >/dev/null
# shellcheck disable=SC2016 # for the container
create --name rich --mode global --secret source=quiet,target=told,mode=0400 --config source=where,target=/where \
  --env 'WHO={{.Service.Name}} on {{.Node.Hostname}}' --hostname '{{.Service.Name}}-x' --mount type=volume,source=kept,target=/kept \
  --mount type=tmpfs,target=/scratch --limit-memory 32M --health-cmd 'test -e /kept/well' --health-interval 200ms \
  --health-start-period 60s "$LAB_IMAGE" sh -c 'for it in "$WHO" "$(hostname)" "$(cat /run/secrets/told)" "$(cat /where)" \
    "$(grep -c " /scratch tmpfs " /proc/mounts)"; do echo "$it"; done; touch /kept/well; exec sleep 100001'
eventually 60 replicas rich 1/1
found() { same 'rich on h2,rich-x,hush,at h2,1,' "$(manager service logs --raw rich | tr '\n' ,)" "what it found"; }
eventually 60 found
manager service rm rich >/dev/null

step "followed logs; a job, whose end is its success; a failing one says why"
create --name talk "$LAB_IMAGE" sh -c 'i=0; while :; do echo "line $i"; i=$((i + 1)); sleep 0.2; done'
manager service logs --follow --raw talk >"$LAB/followed" 2>&1 &
follower=$!
lines() { (($(grep -c '^line' "$LAB/followed") >= 5)); }
eventually 60 lines
kill "$follower"
wait "$follower" || true
create --name job --mode replicated-job --replicas 4 --max-concurrent 2 "$LAB_IMAGE" true
done_all() { [[ $(manager service ls --filter name=job --format '{{.Replicas}}') == *'(4/4 completed)' ]]; }
eventually 60 done_all
create --name bad --restart-condition none "$LAB_IMAGE" sh -c 'exit 3'
said() { manager service ps "$1" --no-trunc --format '{{.CurrentState}} {{.Error}}' | grep -Eq "$2"; }
eventually 60 said bad '^Failed.*task: non-zero exit \(3\)'
manager service rm talk job bad >/dev/null

step "rolled forward, back by hand, and back by itself"
in_sequence manager service update --detach --quiet --env-add STEP=1 web >/dev/null
eventually 60 update_is completed
has_step() { local pid; for pid in $(sleepers); do on h2 grep -qz "^STEP=$1\$" "/proc/$pid/environ" || return 1; done; }
moved() { settled 2 && has_step "$1"; }
eventually 60 moved 1
in_sequence manager service update --detach --quiet --env-add STEP=2 web >/dev/null
eventually 60 update_is completed
eventually 60 moved 2
in_sequence manager service rollback --detach --quiet web >/dev/null
eventually 60 update_is rollback_completed
eventually 60 moved 1
in_sequence manager service update --detach --quiet --update-failure-action rollback --update-monitor 2s --update-parallelism 1 \
  --args 'sh -c "exit 7"' web >/dev/null
eventually 90 update_is rollback_completed
eventually 60 moved 1

step "paused it gets nothing new; drained it gives up all; active again it has its own"
# What the node says of itself meanwhile changes its version, and who comes too late asks again.
eventually 60 manager node update --availability pause "$node"
in_sequence manager service scale --detach web=3 >/dev/null
eventually 60 said web '^Pending.*no suitable node'
count 2 || fail "a paused node: $(sleepers)"
eventually 60 manager node update --availability drain "$node"
eventually 60 count 0
eventually 60 manager node update --availability active "$node"
eventually 60 settled 3
in_sequence manager service scale --detach web=2 >/dev/null
eventually 60 settled 2

step "another build of the worker, its crash, the manager's restart: processes and connections live on"
before=$(sleepers)
# A worker that is away for three heartbeats is down, and its tasks are replaced: on a busy machine a
# start may take longer than three seconds.
in_sequence manager swarm update --dispatcher-heartbeat 20s >/dev/null
create --name echo --publish mode=host,published=7000,target=7 "$LAB_IMAGE" nc -ll -p 7 -e cat
eventually 60 replicas echo 1/1
listens() { [[ $(echo heard | on h1 timeout 15 busybox nc "$(ip_of h2)" 7000) == heard ]]; }
eventually 60 listens # its program does a moment after it runs
coproc talk { on h1 busybox nc "$(ip_of h2)" 7000; }
answers() { echo "$1" >&"${talk[1]}" && read -r -t 60 said <&"${talk[0]}" && same "$1" "$said" "the echo"; }
answers 'before'
cp "$SKEP_BUILD/skepd" "$LAB/new"
echo 'another build' >>"$LAB/new"
mv "$LAB/new" "$SKEP_BUILD/skepd"
skep_stop h2
answers 'while it is down'
skep_start h2
cmp -s "/proc/$(pid_of h2 skepd)/exe" "$SKEP_BUILD/skepd" || fail "the old build runs"
eventually 60 is ready
answers 'by the new build'
kill9 h2 skepd
answers 'after its crash'
skep_start h2
eventually 60 is ready
answers 'by its next life'
# shellcheck disable=SC2154 # coproc sets it
kill "$talk_PID"
stock_stop h1
stock_start h1
eventually 90 is ready
eventually 60 settled 2
same "$before" "$(sleepers)" "processes after the crash and the restart"
manager service rm echo >/dev/null
in_sequence manager swarm update --dispatcher-heartbeat 5s >/dev/null

step "promoted and demoted by the stock command; its tasks run on"
controls() { [[ $(skep h2 info --format '{{.Swarm.ControlAvailable}}') == "$1" ]]; }
eventually 60 manager node promote "$node"
eventually 60 controls true
sees() { [[ $(skep h2 service ls --format '{{.Name}}') == web ]]; }
eventually 60 sees
eventually 60 manager node demote "$node"
eventually 60 controls false
same "$before" "$(sleepers)" "processes after promotion and demotion"

step "it leaves, and leaves nothing"
eventually 60 skep h2 swarm leave # the demotion ends first
same "" "$(sleepers)" "processes"
eventually 60 no_monitors h2
[[ ! -e $LAB/h2/skep/swarm && ! -e $LAB/h2/skep/node.json ]] || fail "leaving left files: $(ls -R "$LAB/h2/skep")"
if on h2 grep "$LAB/h2/skep/images" /proc/self/mountinfo; then fail "leaving left mounts"; fi
eventually 120 is down
manager node rm "$node" >/dev/null
