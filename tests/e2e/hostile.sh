#!/bin/bash
# Hostile clients on every endpoint that the router knows: no crash, no leak, and a cluster that is
# what it was before. SEED=N makes other ones.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker conmon crun umoci busybox curl jq python3
SEED=${SEED:-1}
lab_up 1
skep_image h1
skep_start h1
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
sock=$LAB/h1/skep.sock
api() { curl -fsS --unix-socket "$sock" "http://d/v1.41/$1"; }

skep h1 service create --detach --name web --constraint node.hostname==nowhere --no-resolve-image busybox:lab >/dev/null
echo hush | skep h1 secret create one - >/dev/null
echo text | skep h1 config create two - >/dev/null
skep h1 network create --driver overlay net1 >/dev/null
skep h1 volume create vol1 >/dev/null
skep h1 run --detach --name running --network none "$LAB_IMAGE" sleep 100000 >/dev/null
# What the managers have yet to do: the task of a service that fits nowhere, a node that is ready, networks with
# their addresses.
settled()
{
  api tasks | jq -e 'length == 1 and .[0].Status.State == "pending" and .[0].Status.Err != null' &&
    api nodes | jq -e '.[0].Status.State == "ready"' && api networks/net1 | jq -e '.IPAM.Config | length == 1' &&
    api networks/ingress | jq -e '.IPAM.Config | length == 1'
}
eventually 60 settled

# All that clients can see of the cluster, but for what time changes.
picture()
{
  local noun
  for noun in services tasks nodes secrets configs networks volumes 'containers/json?all=1' images/json swarm; do
    api "$noun" | jq -S 'walk(if type != "object" then . elif (.Status | type) == "string" then del(.Status)
      else del(.UpdatedAt, .Version, .Status.Timestamp) end)'
  done
}
daemon() { pid_of h1 skepd; }
family() { echo "$1"; { cat "/proc/$1"/task/*/children || true; } | tr ' ' '\n' | sed '/^$/d' | sort -n; }
files() { { ls "/proc/$1/fd" 2>/dev/null || true; } | wc -l; }
memory() { awk '/^Rss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

"$SKEP_BUILD/tests/interop/interop_routes" >"$LAB/routes"
picture >"$LAB/before"
pid=$(daemon)
family "$pid" >"$LAB/family"
before_files=$(files "$pid")

step "every endpoint by its row"
python3 "$here/hostile_table.py" "$sock" "$LAB/routes" || fail "some answers are not what the rows say"

sweep() { python3 "$here/hostile.py" "$sock" "$LAB/routes" "$1" "$2" || fail "SEED=$1: some answers are no answers"; }
step "every endpoint (SEED=$SEED)"
sweep "$SEED" 1
first=$(memory "$pid")

step "more of the same leaves nothing more behind"
sweep "$((SEED + 1))" 3
second=$(memory "$pid")
((second < first + 16384)) || fail "the node process grew from $first to $second kB"

same_picture() { picture | diff "$LAB/before" -; }
eventually 60 same_picture
same running "$(skep h1 inspect --format '{{.State.Status}}' running)" "the container"
# (What an endpoint started may have yet to end, and not each look at children shows them all.)
same_family() { family "$pid" | diff "$LAB/family" -; }
eventually 60 same_family
few_files() { (($(files "$pid") <= before_files + 2)); }
eventually 60 few_files
