#!/bin/bash
# Hostile clients on every endpoint that the router knows: no crash, no leak, and a cluster that is
# what it was before. SEED=N repeats a run.
# ctest: TIMEOUT 180
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker curl jq python3
SEED=${SEED:-$RANDOM}
lab_up 1
skep_start h1
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
sock=$LAB/h1/skep.sock
api() { curl -fsS --unix-socket "$sock" "http://d/v1.41/$1"; }

skep h1 service create --detach --name web --constraint node.hostname==nowhere --no-resolve-image busybox:lab >/dev/null
echo hush | skep h1 secret create one - >/dev/null
echo text | skep h1 config create two - >/dev/null
skep h1 network create --driver overlay net1 >/dev/null
skep h1 volume create vol1 >/dev/null
settled() { [[ $(api services/web | jq -r '.Version.Index') == $(sleep 0.3; api services/web | jq -r '.Version.Index') ]]; }
eventually 20 settled

# All that clients can see of the cluster, but for what time changes.
picture()
{
  local noun
  for noun in services tasks nodes secrets configs networks volumes 'containers/json?all=1' images/json swarm; do
    api "$noun" | jq -S 'walk(if type == "object" then del(.UpdatedAt, .Version, .Status.Timestamp) else . end)'
  done
}
daemon() { pid_of h1 skepd; }
family() { echo "$1"; cat "/proc/$1"/task/*/children | tr ' ' '\n' | grep . | sort; }
files() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
memory() { awk '/^Rss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

"$SKEP_BUILD/tests/interop/interop_routes" >"$LAB/routes"
picture >"$LAB/before"
pid=$(daemon)
family "$pid" >"$LAB/family"
before_files=$(files "$pid")

sweep() { python3 "$here/hostile.py" "$sock" "$LAB/routes" "$1" "$2" || fail "SEED=$1: some answers are no answers"; }
step "every endpoint (SEED=$SEED)"
sweep "$SEED" 1
first=$(memory "$pid")

step "more of the same leaves nothing more behind"
sweep "$((SEED + 1))" 3
second=$(memory "$pid")
((second < first + 16384)) || fail "the node process grew from $first to $second kB"

picture >"$LAB/after"
diff "$LAB/before" "$LAB/after" >&2 || fail "SEED=$SEED: the cluster has changed"
family "$pid" | diff "$LAB/family" - >&2 || fail "SEED=$SEED: a process of skepd has ended"
few_files() { (($(files "$pid") <= before_files + 2)); }
eventually 20 few_files
