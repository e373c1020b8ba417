#!/bin/bash
# Tasks on an overlay network across two nodes: they reach each other by address
# and through the service's address and by name; a restart loses no packet, and removal leaves nothing.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl
lab_up 2
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }

# Where a task's packets come and go: the pinned namespaces of a host's containers.
sandboxes() { on "$1" sh -c "ls $LAB/$1/exec/netns 2>/dev/null" | grep -v '^1-' | grep -v ingress || true; }
in_sandbox() { local host=$1 name=$2; shift 2; on "$host" nsenter --net="$LAB/$host/exec/netns/$name" -- "$@"; }
address_of() { in_sandbox "$1" "$2" ip -4 -o addr show | sed -n 's|.* inet \(10\.20\.0\.[0-9]*\)/24 .*|\1|p'; }

step "two nodes, one swarm"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
# A task goes to nodes that are ready: who counts tasks waits for that.
ready() { [[ $(manager node ls --format '{{.Status}}' | grep -c '^Ready$') == "$1" ]]; }
eventually 60 ready 2
manager network create --driver overlay --subnet 10.20.0.0/24 blue >/dev/null

step "a service's tasks reach each other across the nodes"
manager service create --detach --quiet --stop-grace-period 1s --name web --network blue --replicas 4 "$LAB_IMAGE" \
  sh -c 'mkdir /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null 2>&1
eventually 60 replicas web 4/4
[[ $(sandboxes h1 | wc -l) == 2 ]] || fail "sandboxes on h1: $(sandboxes h1)"
[[ $(sandboxes h2 | wc -l) == 2 ]] || fail "sandboxes on h2: $(sandboxes h2)"
vip=$(manager service inspect web --format '{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}')
vip=${vip%/*}
all_reach()
{
  local host name to_host to
  for host in h1 h2; do for name in $(sandboxes $host); do
    for to_host in h1 h2; do for to in $(sandboxes $to_host); do
      in_sandbox $host "$name" ping -c 1 -W 2 "$(address_of $to_host "$to")" >/dev/null || return 1
    done; done
  done; done
}
eventually 60 all_reach

step "the service's address leads to every task, and each sees who asks"
one=$(sandboxes h1 | sed -n 1p) two=$(sandboxes h2 | sed -n 1p)
# ask HOST SANDBOX N: N connections to the service's address, one answer a line.
ask()
{
  in_sandbox "$1" "$2" timeout 30 bash -c '
    for ((i = 0; i < $2; i++)); do
      exec 3<>"/dev/tcp/$1/80" || exit 1
      printf "GET / HTTP/1.0\r\n\r\n" >&3
      tail -n 1 <&3
      exec 3>&-
    done' ask "$vip" "$3"
}
spread() { [[ $(ask h1 "$one" 40 | sort -u | wc -l) == 4 ]]; }
eventually 60 spread

step "names and files inside"
container=$(skep h1 ps -q | sed -n 1p)
[[ $(skep h1 exec "$container" cat /etc/resolv.conf) == *'nameserver 127.0.0.11'* ]] || fail "resolv.conf"
[[ $(skep h1 exec "$container" cat /etc/hosts) == *10.20.0.* ]] || fail "hosts"
way_out() { skep h1 exec "$container" ping -c 1 -W 2 "$(ip_of h1)" >/dev/null; }
eventually 60 way_out

step "who is on the network: here, elsewhere, and which service"
# shown HOST FORMAT [option]: a line of network inspect.
shown() { skep "$1" network inspect "${@:3}" --format "$2" blue; }
for host in h1 h2; do # a worker knows what it takes part in
  same "2" "$(shown $host '{{range .Containers}}{{println .Name}}{{end}}' | grep -c '^web\.[1-4]\.')" "tasks here"
  same "blue-endpoint" "$(shown $host '{{(index .Containers "lb-blue").Name}}')" "the node's own address"
  peers() { [[ $(shown "$1" '{{range .Peers}}{{println .IP}}{{end}}' | sort | xargs) == "10.77.0.11 10.77.0.12" ]]; }
  eventually 60 peers $host
  same "map[]" "$(shown $host '{{.Services}}')" "services, unasked"
  tasks()
  {
    [[ $(shown "$1" '{{range (index .Services "web").Tasks}}{{println (index .Info "Host IP")}}{{end}}' --verbose |
      sort | xargs) == "10.77.0.11 10.77.0.11 10.77.0.12 10.77.0.12" ]]
  }
  eventually 60 tasks $host
  same "$vip" "$(shown $host '{{(index .Services "web").VIP}}' --verbose)" "the service's address"
  [[ $(skep $host network ls --format '{{.Name}}/{{.Driver}}/{{.Scope}}' | xargs) == *blue/overlay/swarm* ]] || fail "network ls"
  same "docker_gwbridge/bridge" "$(skep $host network inspect docker_gwbridge --format '{{.Name}}/{{.Driver}}')" "the gateway"
  same "2" "$(skep $host network inspect docker_gwbridge --format '{{range .Containers}}{{println .Name}}{{end}}' |
    grep -c '^gateway_[0-9a-f]')" "containers on the gateway"
done
refused 'is what containers of the swarm reach the outside through' skep h1 network rm docker_gwbridge

step "names"
answers() { [[ $(skep h1 exec "$container" nslookup "$1" | grep -c "$2") == "$3" ]]; }
eventually 60 answers tasks.web. 'Address.*10\.20\.0\.' 4
eventually 60 answers web. "Address.*$vip" 1

step "7: labels and hostname of a task's container"
labels() { skep h1 inspect --format '{{range $key, $value := .Config.Labels}}{{println $key}}{{end}}' "$1" | sort | xargs; }
same "com.docker.swarm.node.id com.docker.swarm.service.id com.docker.swarm.service.name com.docker.swarm.task com.docker.swarm.task.id com.docker.swarm.task.name" \
  "$(labels "$container")" "labels"
same "${container:0:12}" "$(skep h1 exec "$container" hostname)" "hostname"
same "$(manager node inspect --format '{{.ID}}' h1)" \
  "$(skep h1 inspect --format '{{index .Config.Labels "com.docker.swarm.node.id"}}' "$container")" "the node's label"

step "8: tasks.NAME is whole, oneself included, before the first instruction"
manager service create --detach --quiet --name first --network blue --replicas 2 \
  --container-label com.docker.stack.namespace=shop "$LAB_IMAGE" \
  sh -c 'nslookup tasks.first. >/first 2>&1; ip -4 -o addr >>/first; exec sleep 1000' >/dev/null 2>&1
eventually 60 replicas first 2/2
for host in h1 h2; do
  for one_of in $(skep $host ps --quiet --filter name=first); do
    own=$(skep $host exec "$one_of" sed -n 's|.* inet \(10\.20\.0\.[0-9]*\)/24 .*|\1|p' /first)
    skep $host exec "$one_of" grep -q "Address.*$own\$" /first || fail "not itself: $(skep $host exec "$one_of" cat /first)"
    same shop "$(skep $host inspect --format '{{index .Config.Labels "com.docker.stack.namespace"}}' "$one_of")" "the stack's label"
    answers_first() { [[ $(skep "$host" exec "$one_of" nslookup tasks.first. | grep -c 'Address.*10\.20\.0\.') == 2 ]]; }
    eventually 60 answers_first
  done
done
manager service rm first >/dev/null

step "10: the same of a worker"
worker() { curl -s --max-time 10 --unix-socket "$LAB/h2/skep.sock" "http://d$1"; }
for path in /services /tasks /nodes /secrets /configs /swarm /nodes/x /v1.24/services /v1.50/services; do
  same '{"message":"This node is not a swarm manager. Worker nodes can'"'"'t be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager."}' \
    "$(worker $path)" "a worker asked for $path"
done
[[ $(worker /info) == *'"LocalNodeState":"active","ControlAvailable":false'* ]] || fail "/info of a worker"
[[ $(worker /containers/json) == *com.docker.swarm.task.name* ]] || fail "containers of a worker"

step "skepd goes and comes again, though a task takes its time to stop: no packet is lost"
manager service create --detach --quiet --name slow --network blue --constraint node.hostname==h2 --stop-grace-period 60s "$LAB_IMAGE" \
  sh -c 'trap "echo heard" TERM; while :; do sleep 0.2; done' >/dev/null 2>&1
eventually 60 replicas slow 1/1
slow=$(skep h2 ps -q --filter name=slow)
manager service rm slow >/dev/null
heard() { [[ $(skep h2 logs "$slow") == *heard* ]]; }
eventually 60 heard
in_sandbox h1 "$one" ping -i 0.05 -c 160 -W 10 -q "$(address_of h2 "$two")" >"$LAB/ping" &
pinging=$!
skep_stop h2
skep_start h2
wait $pinging || fail "$(cat "$LAB/ping")"
grep -q ' 0% packet loss' "$LAB/ping" || fail "$(cat "$LAB/ping")"
skep h2 kill "$slow" >/dev/null || true # its grace period is not waited out
eventually 60 all_reach
eventually 60 spread

step "a task on two networks with a published port: both by name, one way out, and asked by its port"
manager network create --driver overlay --subnet 10.21.0.0/24 green >/dev/null
page='mkdir /w; echo "$0" >/w/index.html; exec httpd -f -p 80 -h /w'
manager service create --detach --quiet --stop-grace-period 1s --name side --network green --constraint node.hostname==h1 "$LAB_IMAGE" \
  sh -c "$page" side >/dev/null 2>&1
manager service create --detach --quiet --stop-grace-period 1s --name both --network blue --network green --publish 8091:80 \
  --constraint node.hostname==h2 "$LAB_IMAGE" sh -c "$page" both >/dev/null 2>&1
eventually 60 replicas both 1/1
eventually 60 replicas side 1/1
both=$(skep h2 ps -q --filter name=both) side=$(skep h1 ps -q --filter name=side)
# page_of HOST CONTAINER NAME: what a service says, asked from inside by its name.
page_of() { skep "$1" exec "$2" sh -c 'printf "GET / HTTP/1.0\r\n\r\n" | nc -w 3 $0 80 | tail -n 1' "$3"; }
says() { [[ $(page_of "$1" "$2" "$3") == "$4" ]]; }
of_web() { [[ $(page_of h2 "$both" web) == [0-9a-f]* ]]; }
out_of_both() { skep h2 exec "$both" ping -c 1 -W 2 "$(ip_of h1)" >/dev/null; }
eventually 60 says h2 "$both" side side
eventually 60 of_web
eventually 60 says h1 "$side" both both
eventually 60 says h2 "$both" both both
same 1 "$(skep h2 exec "$both" ip -4 route | grep -c '^default')" "ways out"
eventually 60 out_of_both
by_port() { [[ $(on "$1" curl -s --max-time 3 "http://$2:8091/") == both ]]; }
for to in 127.0.0.1 "$(ip_of h1)" "$(ip_of h2)"; do
  eventually 60 by_port h1 "$to"
done

step "scaled down and removed: nothing is left"
manager service rm web both side >/dev/null
nothing() { ! on "$1" ls "$LAB/$1/exec/netns" | grep -qv ingress; }
quiet() { [[ $(on "$1" ls "$LAB/$1/exec/netns" | grep -cv '^ingress\|^1-') == 0 ]]; }
eventually 60 quiet h1
eventually 60 quiet h2
manager network rm blue green >/dev/null
skep h2 swarm leave
eventually 60 nothing h2
# (The node's own local networks keep theirs, and the guard of their bridges.)
clean() { ! on h2 ip link show skep_gwbridge && ! on h2 nft list tables | grep skep_ | grep -v 'skep_local\|skep_ports'; }
eventually 60 clean
