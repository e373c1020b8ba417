#!/bin/bash
# Ports in host mode: they lead to the node's own task, with the client's address, from outside and
# from localhost; one port is one task's, whoever else wants it is told; they stay when skepd
# restarts, those that were chosen too, and are free when the task is gone. And tasks on no network
# reach the outside.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl python3
lab_up 2 # h2 is a client
skep_image h1
manager() { skep h1 "$@"; }
running() { [[ $(manager service ps "$1" --filter desired-state=running --format '{{.CurrentState}}') == Running* ]]; }

step "a node, a service with a port of the host and one that is chosen, on no network"
skep_start h1
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
# The page is a program that tells whom it sees.
serve='mkdir -p /w/cgi-bin; printf "#!/bin/sh\necho; echo \$REMOTE_ADDR \$(hostname)\n" >/w/cgi-bin/who
  chmod 755 /w/cgi-bin/who; trap "exit 0" TERM; httpd -f -p 80 -h /w & wait'
manager service create --detach --quiet --name web --publish mode=host,published=8081,target=80 \
  --publish mode=host,target=80 --hostname web "$LAB_IMAGE" sh -c "$serve" >/dev/null 2>&1
eventually 60 running web

# ask FROM ADDRESS PORT: who is seen (without the dress of an IPv6 socket), and by whom.
ask() { on "$1" curl -sS --max-time "${4:-10}" "http://$2:$3/cgi-bin/who" | sed 's/\[::ffff:\(.*\)\]/\1/'; }
answers() { [[ $(ask "$1" "$2" "$3") == *" $4" ]]; }

step "docker service ps tells the ports"
told() { manager service ps web --filter desired-state=running --format '{{.Ports}}'; }
is_told() { local ports; ports=$(told); [[ $ports =~ \*:8081-\>80/tcp ]] || { echo "no port is told: $ports"; return 1; }; }
eventually 60 is_told
free=$(told | grep -oE '[0-9]+->80' | grep -v '^8081' | cut -d- -f1)
((free > 1023)) || fail "no chosen port is told: $(told)"

step "from outside with the client's address, from the host, and by localhost"
eventually 60 answers h2 "$(ip_of h1)" 8081 web
same "$(ip_of h2) web" "$(ask h2 "$(ip_of h1)" 8081)" "the client's address"
same "$(ip_of h2) web" "$(ask h2 "$(ip_of h1)" "$free")" "the client's address at the chosen port"
same "$(ip_of h1) web" "$(ask h1 "$(ip_of h1)" 8081)" "the host's own address"
eventually 60 answers h1 127.0.0.1 8081 web

step "a task on no network reaches the outside"
manager service create --detach --quiet --name plain "$LAB_IMAGE" \
  sh -c "until ping -c 1 -W 1 $(ip_of h2); do :; done; sleep 1000" >/dev/null 2>&1
heard() { [[ $(manager service logs plain 2>&1) == *"1 packets received"* ]]; }
eventually 60 heard
manager service rm plain >/dev/null

step "on an overlay network, too"
manager network create --driver overlay blue >/dev/null
manager service create --detach --quiet --name blue --network blue --hostname blue \
  --publish mode=host,published=8082,target=80 "$LAB_IMAGE" sh -c "$serve" >/dev/null 2>&1
eventually 60 running blue
eventually 60 answers h2 "$(ip_of h1)" 8082 blue
same "$(ip_of h2) blue" "$(ask h2 "$(ip_of h1)" 8082)" "the client's address on an overlay"

step "a port that another service has: its task waits; one that a program has: the task says so"
manager service create --detach --quiet --stop-grace-period 1s --name second --publish mode=host,published=8081,target=80 \
  "$LAB_IMAGE" sleep 1000 >/dev/null 2>&1
pending() { [[ $(manager service ps second --no-trunc --format '{{.CurrentState}} {{.Error}}') == Pending*"host-mode port already in use on 1 node"* ]]; }
eventually 60 pending
start h1 holder python3 -c 'import socket, time
s = socket.socket(); s.bind(("", 8083)); s.listen(); time.sleep(1000)'
held() { [[ $(on h1 ss -Hltn sport = :8083) == *8083* ]]; }
eventually 60 held
manager service create --detach --quiet --name third --restart-condition none \
  --publish mode=host,published=8083,target=80 "$LAB_IMAGE" sleep 1000 >/dev/null 2>&1
clashed() { [[ $(manager service ps third --no-trunc --format '{{.CurrentState}} {{.Error}}') == *"port is already allocated"* ]]; }
eventually 60 clashed
stop h1 holder

step "an update: the new task has the port"
task() { manager service ps blue --filter desired-state=running --quiet --no-trunc; }
before=$(task)
in_sequence manager service update --detach --quiet --force blue >/dev/null 2>&1
renewed() { running blue && [[ $(task) != "$before" ]]; }
eventually 60 renewed
eventually 60 answers h2 "$(ip_of h1)" 8082 blue

step "skepd restarts: no request fails, the chosen port stays"
(
  for ((i = 0; i < 60; i++)); do
    ask h2 "$(ip_of h1)" 8081 30 >/dev/null || echo "failed: $i"
    sleep 0.05
  done
) >"$LAB/during" &
asking=$!
skep_stop h1
skep_start h1
wait "$asking"
same "" "$(<"$LAB/during")" "requests during the restart"
eventually 60 running web
eventually 60 answers h2 "$(ip_of h1)" 8081 web
eventually 60 answers h2 "$(ip_of h1)" "$free" web
eventually 60 answers h2 "$(ip_of h1)" 8082 blue
is_held() { ! on h1 python3 -c 'import socket; socket.socket().bind(("", 8081))' 2>/dev/null; }
eventually 60 is_held

step "removed: who waited for the port gets it, and in the end it is free"
manager service rm web blue >/dev/null
eventually 60 running second
manager service rm second >/dev/null
free_port() { on h1 python3 -c 'import socket; socket.socket().bind(("", 8081))'; }
eventually 60 free_port
forgotten() { [[ $(on h1 nft list ruleset) != *"6 . 8081"* && $(on h1 nft list ruleset) != *"tcp . 8081"* ]]; }
eventually 60 forgotten

step "what the package's removal ends: all that runs on, not what lasts"
manager network create -d overlay net >/dev/null
manager service create --detach --quiet --name last --network net --publish 8090:80 "$LAB_IMAGE" sh -c 'trap "exit 0" TERM; sleep 100000 & wait' >/dev/null 2>&1
manager run -d --name beside -p 8095:80 "$LAB_IMAGE" sleep 100000 >/dev/null # which must be killed
eventually 60 running last
skep_stop h1
left()
{
  on h1 ip -br link | grep skep || true
  on h1 nft list tables | grep skep_ || true
  on h1 grep " $LAB/h1/.*/merged\|$LAB/h1/exec" /proc/self/mounts || true
  on h1 ls /run/netns
  on h1 find /sys/fs/cgroup -type d -path '*/skep*'
  on h1 pgrep -ax conmon || true
}
[[ $(left) == *skep0*skep_*merged*skep/*conmon* ]] || fail "before: $(left)"
on h1 "$(realpath "$(dirname "$0")/../../cmd/package/clear_node")" "$LAB/h1/skep" "$LAB/h1/exec"
same '' "$(left)" "what is left"
skep_start h1
eventually 60 running last
