#!/bin/bash
# The Engine API of a manager: conversations with every answer checked (tests/e2e/api), events that stay
# open, replay and carry what changed, both over a reload; and the filters of docker events.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker curl python3
lab_up 1
skep_start h1
docker() { skep h1 "$@"; }
sock=$LAB/h1/skep.sock
docker_rm() { docker service rm "$@" >/dev/null; }

step "1, 2, 6, 9: conversations"
python3 "$here/../support/converse.py" "$sock" "addr=$(ip_of h1)" "$here"/api/*.talk || fail "some answers differ"

# The ten things that clients of a swarm rely on (tests/interop/CLIENTS.md) are steps that name their number.
step "5: a storm of one who polls, at a size for every day (STORM_SERVICES=1000: strict, for a quiet machine)"
strict=(); [[ -z ${STORM_SERVICES:-} ]] || strict=(--strict)
python3 "$here/../support/storm.py" "$sock" "${STORM_SERVICES:-40}" 5 "${strict[@]}" || fail "the storm"
mapfile -t storm < <(docker service ls --quiet --filter name=storm)
docker_rm "${storm[@]}"

step "3, 4: events: open, with what changed, over a reload"
curl -sN --dump-header "$LAB/events.head" --unix-socket "$sock" \
  'http://d/events?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D' >"$LAB/events" &
reader=$!
seen() { grep -q "$1" "$LAB/events"; }
# Who has the head of the answer hears all that comes.
follows() { grep -q ' 200 ' "$LAB/events.head"; }
eventually 60 follows
docker service create --detach --name ev --constraint node.hostname==nowhere --no-resolve-image busybox:lab >/dev/null
eventually 60 seen '"Type":"service","Action":"create".*"name":"ev"'
signal h1 skepd HUP
eventually 60 grep -q 'configuration was read again' "$LAB/h1/skepd.log"
# The managers write to services and nodes too: who comes second is refused, and asks again.
eventually 60 docker service scale --detach ev=3
eventually 60 seen '"Action":"update".*"replicas.new":"3","replicas.old":"1"'
eventually 60 docker node update --availability drain "$(docker node ls --quiet)"
eventually 60 seen '"Type":"node","Action":"update".*"availability.new":"drain","availability.old":"active"'
docker service rm ev >/dev/null
eventually 60 seen '"Type":"service","Action":"remove"'
[[ -d /proc/$reader ]] || fail "the stream of events ended"
kill "$reader"
# The docker command asks in whole seconds.
looks_back()
{
  docker events --since 5m --until 0s --filter type=service --filter event=remove \
    --format '{{.Actor.Attributes.name}}' | has ev -x
}
eventually 60 looks_back
same "" "$(docker events --since 5m --until 0s --filter type=service --filter scope=local)" "events of no scope"
