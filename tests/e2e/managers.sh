#!/bin/bash
# Three skepd as managers of one swarm: joining, forwarding, the loss of a leader, promotion and demotion
# under running tasks, and what is refused for the quorum's sake.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox curl
lab_up 3
skep_image h1 h2 h3

sleepers() { on "$1" pgrep -x -f 'sleep 100000' | sort; }
replicas() { [[ $(skep "$1" service ls --filter "name=$2" --format '{{.Replicas}}') == "$3" ]]; }
manager_status() { skep "$1" node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed -n "s/^$2 //p"; }
status_is() { [[ $(manager_status "$1" "$2") == "$3" ]]; }
role_is() { [[ $(skep "$1" node inspect "$2" --format '{{.Spec.Role}}') == "$3" ]]; }
leads() { skep "$1" node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed -n 's/ Leader$//p' | grep .; }
# On a busy machine there may be an election at any time: who leads is asked, not known.
leader() { eventually 60 leads "$1"; leads "$1"; }
another() { if [[ $1 == h1 ]]; then echo h2; else echo h1; fi; }
three_managers() { [[ $(skep "$1" node ls --format '{{.Status}} {{.ManagerStatus}}' | sort | tr '\n' ,) == 'Ready Leader,Ready Reachable,Ready Reachable,' ]]; }
controls() { [[ $(skep "$1" info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}') == "active $2" ]]; }

# The process id, seen from outside, of a host's manager process.
manager_pid()
{
  local skepd pid
  skepd=$(pid_of "$1" skepd)
  for pid in $(<"/proc/$skepd/task/$skepd/children"); do
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q '^skepd: manager'; then echo "$pid"; fi
  done
}

step "two more managers join"
for host in h1 h2 h3; do skep_start $host; done
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
# Who is away for three heartbeats is down, and its tasks are replaced: here they are to stay.
eventually 60 skep h1 swarm update --dispatcher-heartbeat 10s
token=$(skep h1 swarm join-token --quiet manager)
for host in h2 h3; do
  said=$(skep $host swarm join --token "$token" "$(ip_of h1):2377")
  [[ $said == *"joined a swarm as a manager"* ]] || fail "join said: $said"
done
eventually 60 three_managers h3
same "$(skep h1 swarm ca)" "$(skep h3 swarm ca)" "the root, asked of a follower"

step "what a follower is told is done"
skep h3 service create --detach --quiet --stop-grace-period 1s --name web --replicas 3 "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
for host in h1 h2 h3; do eventually 60 replicas $host web 3/3; done
runs() { [[ $(sleepers "$1" | wc -l) == "$2" ]]; } # a task runs a moment before its program does
for host in h1 h2 h3; do eventually 60 runs $host 1; done
tasks=$(sleepers h3)

step "who would break the quorum is refused"
refused 'attempting to leave the swarm on a node that is participating as a manager. Use `--force`' skep h2 swarm leave

# writes_again HOST WHAT: in about a second (./dev bench manager says how long), and long before
# a stock manager would; a loaded machine may take longer.
writes_again()
{
  local begin took said
  begin=$(date +%s%N)
  until said=$(skep "$1" node update --label-add "found=$begin" "$1" 2>&1); do
    (($(date +%s%N) - begin < 60000000000)) || fail "no writes after $2: $said; $(skep "$1" node ls 2>&1)"
  done
  took=$((($(date +%s%N) - begin) / 1000000))
  echo "writes again $took ms after $2"
  ((took < 10000)) || fail "writes again only $took ms after $2"
}

# Whoever listens to a manager's events hears of it all, whatever becomes of the leaders.
lost=$(leader h1)
listening=$(another "$lost")
curl -sN --unix-socket "$LAB/$listening/skep.sock" http://d/events >"$LAB/events" &
listener=$!
hears() { grep -q "\"Type\":\"config\",\"Action\":\"create\".*\"name\":\"$1\"" "$LAB/events"; }
makes() { echo 1 | skep "$1" config create "$2" - || skep "$1" config inspect "$2"; } # also where an election came between
eventually 60 makes h1 before
eventually 60 hears before

step "the leader is lost: the others write again"
kill9 "$lost" skepd
writes_again "$listening" "its node process was killed"
skep_start "$lost"
eventually 60 three_managers "$lost"
leader=$(leader h1)
kill -KILL "$(manager_pid "$leader")"
writes_again h1 "its manager process was killed"
eventually 60 three_managers h1
leader=$(leader h1)
other=$(another "$leader")
cut_link "$leader"
writes_again "$other" "its cable was pulled"
heal_link "$leader"
eventually 60 three_managers "$leader"
eventually 60 replicas h1 web 3/3
eventually 60 makes h3 after
eventually 60 hears after
[[ -d /proc/$listener ]] || fail "the stream of events ended"
kill "$listener"

step "a manager becomes a worker and a manager again; its task runs on"
eventually 60 skep h2 node demote h3
eventually 60 controls h3 false
eventually 60 role_is h2 h3 worker
refused 'not a swarm manager' skep h3 node ls
# Its process ends, and then its state and its key go.
no_state() { [[ ! -e $LAB/h3/skep/manager/raft ]] && ! grep -q raft-dek "$LAB/h3/skep/swarm/certificates/swarm-node.key"; }
eventually 60 no_state
same "$tasks" "$(sleepers h3)" "h3's tasks after the demotion"
same '' "$(on h3 pgrep -f 'skepd: manager')" "h3's manager process"
eventually 60 replicas h2 web 3/3
eventually 60 skep h2 node promote h3
eventually 60 controls h3 true
eventually 60 three_managers h3
same "$tasks" "$(sleepers h3)" "h3's tasks after the promotion"

step "the leader itself is demoted"
leader=$(leader h3)
other=$(another "$leader")
tasks=$(sleepers "$leader")
demotes_itself() { skep "$leader" node demote "$leader" || role_is "$other" "$leader" worker; }
eventually 60 demotes_itself
eventually 60 controls "$leader" false
eventually 60 status_is "$other" "$leader" ''
same "$tasks" "$(sleepers "$leader")" "its tasks"
eventually 60 skep "$leader" swarm leave # the demotion ends first
same '' "$(sleepers "$leader")" "tasks of a node that left"

step "of two managers none can go, and of one neither"
rest=$(for host in h1 h2 h3; do [[ $host == "$leader" ]] || echo $host; done)
first=${rest%%$'\n'*} second=${rest##*$'\n'}
refused 'Removing this node leaves 1 managers out of 2' skep "$first" swarm leave
skep_stop "$second"
refused 'loss of quorum|does not have a leader|too few managers|lost leader status' skep "$first" node demote "$second"
skep_start "$second"
eventually 60 skep "$first" node demote "$second"
eventually 60 controls "$second" false
eventually 60 status_is "$first" "$first" Leader
refused 'attempting to demote the last manager' skep "$first" node demote "$first"
refused 'Removing the last manager erases all current state' skep "$first" swarm leave
eventually 60 skep "$second" swarm leave

step "a leader that leaves by force takes nobody's quorum with it"
skep "$second" swarm join --token "$token" "$(ip_of "$first"):2377" >/dev/null
eventually 60 controls "$second" true
eventually 60 status_is "$second" "$first" Leader
eventually 60 skep "$second" swarm update --dispatcher-heartbeat 1s # a new leader soon misses who is away
skep "$first" swarm leave --force >/dev/null
writes_alone() { skep "$second" network create --driver overlay alone || skep "$second" network inspect alone; }
eventually 60 writes_alone
left=$(skep "$second" node ls --format '{{.ID}} {{.Hostname}} {{.ManagerStatus}}' | sed -n "s/ $first //p")
[[ $left =~ ^[a-z0-9]{25}$ ]] || fail "the one that left is shown as: $left"
eventually 120 skep "$second" node rm "$left"
skep "$second" swarm leave --force >/dev/null
for host in h1 h2 h3; do
  [[ ! -e $LAB/$host/skep/swarm && ! -e $LAB/$host/skep/node.json && ! -e $LAB/$host/skep/manager/raft ]] ||
    fail "leaving left files on $host: $(ls -R "$LAB/$host/skep")"
  same '' "$(sleepers $host)" "processes on $host"
  eventually 60 no_monitors $host
done
