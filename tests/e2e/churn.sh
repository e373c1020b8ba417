#!/bin/bash
# Many short lives of tasks: what a node holds afterwards is what it held before: processes, mounts,
# namespaces, cgroups, descriptors, files. LIVES=5000 is the drill; the tests run a short form of it.
# MANAGER=stock has a stock dockerd on a second host order the lives.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox
MANAGER=${MANAGER:-skep}
LIVES=${LIVES:-100}
ALIVE=${ALIVE:-10} # tasks that run to their end at one time
LAB_STOP_SECONDS=60
[[ $MANAGER == skep ]] || lab_needs dockerd
lab_up 2
skep_image h1
skep_start h1
if [[ $MANAGER == skep ]]; then
  docker() { skep h1 "$@"; }
  docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
else
  docker() { stock h2 "$@"; }
  stock_start h2
  docker swarm init --advertise-addr "$(ip_of h2)" --availability drain >/dev/null
  skep h1 swarm join --token "$(docker swarm join-token --quiet worker)" "$(ip_of h2):2377" >/dev/null
fi
docker network create --driver overlay churn >/dev/null
echo secret | docker secret create secret - >/dev/null
dir=$LAB/h1

touch "$LAB/before" "$LAB/after"
# One line for each thing the node holds. LMDB's files are not looked into: they keep their pages.
holdings()
{
  local daemon; daemon=$(on h1 cat "$dir/skepd.pid")
  on h1 ps -e -o comm= | grep -v '^ps$' | sort | uniq -c | sed 's/^/process /'
  on h1 awk '$5 !~ "^/run/netns/" { print $5 }' /proc/self/mountinfo | sed "s/[0-9a-f]\{64\}/ID/; s/^/mount /" | sort | uniq -c
  echo "netns $(on h1 sh -c 'ls -l /proc/[0-9]*/ns/net 2>/dev/null' | sed 's/.*-> //' | sort -u | wc -l)"
  on h1 find /sys/fs/cgroup -mindepth 2 -type d -path '*skep*' | sed 's/^/cgroup /'
  on h1 find "$dir/skep" "$dir/exec" ! -path '*/library/*' ! -path '*/blobs/*' ! -path '*/raft/*' \
    ! -path "$dir/skep/tmp/*" ! -name '*.mdb' | sed 's/^/file /'
  echo "descriptors $(on h1 sh -c "ls /proc/$daemon/fd" | wc -l)"
}
# Nothing is under way any more: no container, no layer is mounted, and nothing changes.
settled()
{
  [[ -z $(docker service ls -q) && -z $(on h1 pgrep -x 'conmon|crun') ]] || return 1
  [[ -z $(on h1 find "$dir/skep/images/layers" -mindepth 1 -maxdepth 1) ]] || return 1
  ! on h1 ls "$dir/exec/netns" | has '^[0-9a-f]\{12\}$' || return 1
  holdings >"$LAB/$1.new"
  if diff "$LAB/$1" "$LAB/$1.new"; then return; fi
  mv "$LAB/$1.new" "$LAB/$1"
  return 1
}
sleepers() { on h1 pgrep -c -x -f 'sleep 100000' || true; }

# A stock manager keeps the ended tasks of a job whose service is gone: there each update of a service
# is a round of lives.
live_by_updates()
{
  local round runs="$ALIVE/$ALIVE"
  replicas() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
  updated() { [[ $(docker service inspect rich --format '{{.UpdateStatus.State}}') == completed ]]; }
  docker service create --quiet --detach --no-resolve-image --name rich --replicas "$ALIVE" --stop-signal KILL \
    --network churn --secret secret --mount type=volume,target=/data --mount type=tmpfs,target=/scratch \
    --update-parallelism 0 --update-monitor 1ms --limit-memory 32M --log-opt max-size=1m "$LAB_IMAGE" sleep 100000 >/dev/null
  eventually 120 replicas rich "$runs"
  for ((round = ALIVE; round < $1; round += ALIVE)); do
    in_sequence docker service update --quiet --detach --no-resolve-image --force rich >/dev/null
    eventually 120 updated
    eventually 120 replicas rich "$runs"
  done
  docker service rm rich >/dev/null
}

live()
{
  if [[ $MANAGER == stock ]]; then live_by_updates "$1"; return; fi
  # Jobs: each task is a life. Some with all that a task can have.
  local each=$(($1 / 2))
  docker service create --quiet --detach --no-resolve-image --name plain --mode replicated-job --replicas "$each" --max-concurrent "$ALIVE" \
    "$LAB_IMAGE" true >/dev/null
  docker service create --quiet --detach --no-resolve-image --name rich --mode replicated-job --replicas $(($1 - each)) --max-concurrent "$ALIVE" \
    --network churn --secret secret --mount type=volume,target=/data --mount type=tmpfs,target=/scratch \
    --health-cmd true --health-interval 1s --limit-memory 32M --log-opt max-size=1m "$LAB_IMAGE" sh -c 'echo life' >/dev/null
  completed() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == *"($2/$2 completed)" ]]; }
  eventually $((60 + $1)) completed plain "$each"
  eventually $((60 + $1)) completed rich $(($1 - each))
  docker service rm plain rich >/dev/null
}

step "a first round, which makes what stays"
live 4
eventually 120 settled before

step "$LIVES lives"
begin=$(date +%s%3N)
live "$LIVES"
spent=$(($(date +%s%3N) - begin))
eventually $((120 + LIVES / 3)) settled after
echo "$LIVES lives in $spent ms: $((LIVES * 1000 / spent)) a second"

step "killed in the middle, and again"
docker service create --detach --no-resolve-image --stop-grace-period 1s --name crowd --replicas 10 --network churn "$LAB_IMAGE" sleep 100000 >/dev/null
for _ in 1 2; do
  some() { (($(sleepers) >= 2)); }
  eventually 60 some
  kill9 h1 skepd
  skep_start h1
done
docker service rm crowd >/dev/null

step "nothing is left of any of them"
alike() { settled after && diff "$LAB/before" "$LAB/after"; }
eventually 120 alike
