#!/bin/bash
# How long it takes until all nodes know what became of a service: from the command to the last node's balancer, names
# and forwarding rows being right, with a task more and with a task less.
#
# NODES are numbers of nodes, the least first ("1 10 50"); each figure is the median of ROUNDS.
SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
. "$(dirname "$0")/../../support/lab.sh"
. "$(dirname "$0")/figures.sh"
lab_needs docker conmon crun umoci busybox nft python3
NODES=${NODES:-1 10}
ROUNDS=${ROUNDS:-5}
SKEP_BUILD=$(realpath "$SKEP_BUILD")
watcher=$(realpath "$(dirname "$0")/../net_watch.py")
most=${NODES##* }
lab_up "$most"
figures=$LAB/figures
mkdir "$figures"
manager() { skep h1 "$@"; }
hosts=()

ready() { [[ $(manager node ls --format '{{.Status}}' | grep -c Ready) == "$1" ]]; }
# gather N: so many nodes have a container on the network, and write down what they learn and when.
gather()
{
  local host overlay id fresh=()
  while ((${#hosts[@]} < $1)); do
    host=h$((${#hosts[@]} + 1))
    hosts+=("$host") fresh+=("$host")
    skep_image "$host"
    skep_start "$host"
    if [[ $host == h1 ]]; then
      manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
      manager network create --driver overlay --attachable --subnet 10.40.0.0/16 bench >/dev/null
      manager service create --detach --quiet --name seen --network bench --replicas 1 --stop-grace-period 1s \
        "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
      continue
    fi
    # On a busy machine it goes on joining after the command has ended.
    skep "$host" swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of "$host")" \
      "$(ip_of h1):2377" >/dev/null 2>&1 || true
  done
  eventually 120 ready "$1"
  overlay=1-$(manager network inspect -f '{{.Id}}' bench | head -c 10)
  for host in "${fresh[@]}"; do
    id=$(skep "$host" run -d --network bench "$LAB_IMAGE" sleep 100000)
    start "$host" watch-names nsenter --net="$LAB/$host/exec/netns/${id:0:12}" -- python3 "$watcher" names \
      "$figures/names.$host" tasks.seen "$((most > 5 ? most : 5))"
    start "$host" watch-fdb nsenter --net="$LAB/$host/exec/netns/$overlay" -- python3 "$watcher" fdb \
      "$figures/fdb.$host"
  done
}

# knows N: all nodes' containers find so many tasks.
knows()
{
  local host
  for host in "${hosts[@]}"; do
    [[ $(grep names "$figures/names.$host" | tail -1) == *" names $1" ]] || return 1
  done
}
now() { python3 -c 'import time; print(time.monotonic())'; }
# last WHAT FILE...: ms from $begin to the last of the files' last lines about it.
last()
{
  local what=$1; shift
  tail -qn 400 "$@" |
    awk -v b="$begin" -v w="$what" '$2 == w && $1 > b && $1 > m { m = $1 } END { print m ? int((m - b) * 1000) : 0 }'
}
# change TASKS NAME: the service has so many tasks now. With one node no row goes anywhere, and that of a task that
# ends goes when it has ended, which is its own affair.
change()
{
  local host
  begin=$(now)
  manager service scale --detach "seen=$1" >/dev/null
  eventually 60 knows "$1"
  sleep 1 # the last of the kernel's events
  keep "$2-names.ms" "$(last names "$figures"/names.h*)"
  keep "$2-between.ms" "$(for host in "${hosts[@]}"; do grep names "$figures/names.$host" | tail -1; done |
    awk 'NR == 1 || $1 < a { a = $1 } $1 > b { b = $1 } END { print int((b - a) * 1000) }')"
  keep "$2-balancer.ms" "$(last balancer "$figures"/names.h*)"
  [[ ${#hosts[@]} == 1 || $2 == down* ]] || keep "$2-fdb.ms" "$(last fdb "$figures"/fdb.h*)"
}

for nodes in $NODES; do
  step "nodes with a container on the network: $nodes"
  gather "$nodes"
  eventually 60 knows 1
  for ((round = 1; round <= ROUNDS; round++)); do
    change 2 "up$nodes"
    change 1 "down$nodes"
  done
  for way in "up$nodes more" "down$nodes less"; do
    for what in names balancer fdb; do
      row "among $nodes, a task ${way#* }: $what" ms "${way% *}-$what" '' "command to last node" ""
    done
    row "among $nodes, a task ${way#* }: names" ms "${way% *}-between" '' "first to last node" ""
  done
done
show_figures
