#!/bin/bash
# A skepd joins as a worker a swarm whose manager is skepd, while others guess tokens there. Restarts and
# crashes cost nothing; leaving leaves nothing. (A stock dockerd as the manager: stock_manager.sh.)
# ctest: COST 45
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox
lab_up 3
skep_image h1 h2
manager() { skep h1 "$@"; }
sleepers() { on "$1" pgrep -x -f 'sleep 100000' | sort; }
count() { [[ $(sleepers "$1" | wc -l) == "$2" ]]; }
status_of() { manager node ls --format '{{.Hostname}} {{.Status}}' | sed -n "s/^$1 //p"; }
is() { [[ $(status_of "$1") == "$2" ]]; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
nothing_left()
{
  same "" "$(sleepers "$1")" "processes on $1"
  eventually 60 no_monitors "$1"
  [[ ! -e $LAB/$1/skep/swarm && ! -e $LAB/$1/skep/node.json ]] || fail "leaving left files: $(ls -R "$LAB/$1/skep")"
  if on "$1" grep "$LAB/$1/skep/images" /proc/self/mountinfo; then fail "leaving left mounts"; fi
}

step "what cannot be joined is said, and changes nothing"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
# A worker that is away for three heartbeats is down, and its tasks are replaced: on a busy machine a
# start may take long.
eventually 60 manager swarm update --dispatcher-heartbeat 10s
token=$(manager swarm join-token --quiet worker)
refused 'invalid join token' skep h2 swarm join --token nonsense "$(ip_of h1):2377"
refused 'InvalidArgument.*A valid join token is necessary to join this cluster' \
  skep h2 swarm join --token "${token%-*}-0000000000000000000000000" "$(ip_of h1):2377"
refused 'remote CA does not match fingerprint. Expected: [0-9a-f]{64}' \
  skep h2 swarm join --token "SWMTKN-1-11111111111111111111111111111111111111111111111111-${token##*-}" "$(ip_of h1):2377"
refused 'non-zero IP address or network interface' \
  skep h2 swarm join --token "$token" --advertise-addr 0.0.0.0 "$(ip_of h1):2377"
refused 'invalid .*vailability' skep h2 swarm join --token "$token" --availability often "$(ip_of h1):2377"
same inactive "$(skep h2 info --format '{{.Swarm.LocalNodeState}}')" "h2's state"
[[ ! -e $LAB/h2/skep/swarm && ! -e $LAB/h2/skep/node.json ]] || fail "a failed join left files"
same 1 "$(manager node ls -q | wc -l)" "nodes"

# h3 has sixteen addresses to guess from: each goes to an address of its own on h1.
guesses_start()
{
  local i targets=()
  for ((i = 1; i <= 16; i++)); do
    on h1 ip addr add "10.78.0.$i/32" dev eth0
    on h3 ip addr add "10.79.0.$i/32" dev eth0
    on h1 ip route add "10.79.0.$i" dev eth0
    on h3 ip route add "10.78.0.$i" dev eth0 src "10.79.0.$i"
    targets+=("10.78.0.$i:2377")
  done
  mkfifo "$LAB/guesses.in"
  exec {guesses_in}<>"$LAB/guesses.in"
  on h3 "$SKEP_BUILD/tests/interop/interop_guess" "${token%-*}-0000000000000000000000000" 10000 "${targets[@]}" \
    <"$LAB/guesses.in" >"$LAB/guesses" 2>&1 {guesses_in}>&- &
  guesses_pid=$!
  eventually 60 grep -q guessing "$LAB/guesses"
}
cluster() { manager system info --format '{{.Swarm.Cluster.Version.Index}}'; }

step "wrong tokens from sixteen addresses, ten thousand of them and on until a worker works"
cluster=$(cluster)
guesses_start

step "joined: ready at once, and it works"
said=$(skep h2 swarm join --token "$token" "$(ip_of h1):2377")
[[ $said == *"joined a swarm as a worker"* ]] || fail "join said: $said"
is h2 Ready || fail "not ready when join was done: $(manager node ls)"
same 'active false' "$(skep h2 info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')" "h2's state"
same "$(ip_of h2)" "$(skep h2 info --format '{{.Swarm.NodeAddr}}')" "h2's address"
same "$(ip_of h1):2377" "$(skep h2 info --format '{{range .Swarm.RemoteManagers}}{{.Addr}}{{end}}')" "the manager it knows"
refused 'not a swarm manager' skep h2 node ls
refused 'already part of a swarm' skep h2 swarm join --token "$token" "$(ip_of h1):2377"
refused 'already part of a swarm' skep h2 swarm init
manager service create --detach --quiet --stop-grace-period 1s --name web --replicas 4 "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
eventually 60 replicas web 4/4
# Spread, and a task runs a moment before its program does.
for host in h1 h2; do eventually 60 count $host 2; done

step "nobody guessed right, most were held off unheard, and nothing came of it"
exec {guesses_in}>&-
wait "$guesses_pid" || fail "the guesses ended: $(<"$LAB/guesses")"
read -r wrong _ held _ < <(tail -1 "$LAB/guesses")
tail -1 "$LAB/guesses"
((wrong + held >= 10000 && wrong >= 16 * 10 && held > wrong)) || fail "$wrong wrong, $held held off"
is h2 Ready || fail "h2 was missed: $(manager node ls)"
same "h1 h2" "$(manager node ls --format '{{.Hostname}}' | sort | xargs)" "nodes"
same "$cluster $token" "$(cluster) $(manager swarm join-token --quiet worker)" "the cluster's version and token"

step "the worker is started again, then killed; the manager is killed: the processes run on"
before=$(sleepers h2)
skep_stop h2
same "$before" "$(sleepers h2)" "processes without skepd"
skep_start h2
kill9 h2 skepd
kill9 h1 skepd
skep_start h2
skep_start h1
eventually 60 is h2 Ready
eventually 60 replicas web 4/4
same "$before" "$(sleepers h2)" "processes after all that"

step "drained and active again"
eventually 60 manager node update --availability drain h2
eventually 60 count h2 0
eventually 60 replicas web 4/4
eventually 60 manager node update --availability active h2
in_sequence manager service scale --detach web=6 >/dev/null
eventually 60 replicas web 6/6
eventually 60 count h2 2

step "leaving takes the containers away; the node is down, and can be removed"
refused "is not down and can't be removed" manager node rm h2
node=$(skep h2 info --format '{{.Swarm.NodeID}}')
skep h2 swarm leave >/dev/null
nothing_left h2
same inactive "$(skep h2 info --format '{{.Swarm.LocalNodeState}}')" "h2's state"
refused 'This node is not part of a swarm' skep h2 swarm leave
eventually 120 is h2 Down
# What h2 said last of its tasks may be that they run: service ls counts those too.
moved() { [[ $(manager service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' | grep -c '^h1 Running') == 6 ]]; }
eventually 60 moved
eventually 60 count h1 6
manager node rm "$node" >/dev/null
same h1 "$(manager node ls --format '{{.Hostname}}')" "nodes"

step "it joins again, as another node, drained from the start"
skep h2 swarm join --token "$token" --availability drain "$(ip_of h1):2377" >/dev/null
[[ $(skep h2 info --format '{{.Swarm.NodeID}}') != "$node" ]] || fail "the same node id"
same drain "$(manager node inspect h2 --format '{{.Spec.Availability}}')" "its availability"
skep h2 swarm leave >/dev/null
