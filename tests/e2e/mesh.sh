#!/bin/bash
# The routing mesh of real nodes: a published port of any node reaches tasks on all of them, the tasks
# see the client's own address, localhost works, nodes restart without a failed request, and a service
# that is removed leaves nothing.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl
LAB_NETS=1
lab_up 3 # h3 is a client
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }

step "two nodes, one swarm, a published service on both"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(manager swarm join-token --quiet worker)
skep h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377" >/dev/null
# The page is a program that tells whom it sees.
manager service create --detach --quiet --name web --mode global --publish 8080:80 "$LAB_IMAGE" \
  sh -c 'mkdir -p /w/cgi-bin; printf "#!/bin/sh\necho; echo \$REMOTE_ADDR \$(hostname)\n" >/w/cgi-bin/who
    chmod 755 /w/cgi-bin/who; trap "exit 0" TERM; httpd -f -p 80 -h /w & wait' >/dev/null 2>&1
eventually 60 replicas web 2/2

# ask FROM ADDRESS: who is seen (without the dress of an IPv6 socket), and by whom.
ask() { on "$1" curl -sS --max-time 3 "http://$2:8080/cgi-bin/who" | sed 's/\[::ffff:\(.*\)\]/\1/'; }

step "from outside by each node, with the client's address in the end"
sees() { [[ $(ask h3 "$(ip_of "$1")") == "$(ip_of h3) "* ]]; }
spread()
{
  local i
  for ((i = 0; i < 12; i++)); do ask h3 "$(ip_of "$1")" || return 1; done >"$LAB/answers"
  [[ $(awk '{ print $2 }' "$LAB/answers" | sort -u | wc -l) == 2 &&
     $(awk '{ print $1 }' "$LAB/answers" | sort -u) == "$(ip_of h3)" ]]
}
for host in h1 h2; do
  eventually 60 sees $host
  eventually 60 spread $host
done

step "from the nodes themselves, and by localhost"
answers() { [[ -n $(ask "$1" "$2") ]]; }
for host in h1 h2; do
  for to in 127.0.0.1 "$(ip_of h1)" "$(ip_of h2)"; do
    eventually 60 answers $host "$to"
  done
done

step "a node's skepd restarts, is killed: no request fails"
# Answers may take their time on a busy machine; a packet that is lost shows in the client's kernel.
again() { on h3 nstat -asz TcpExtTCPSynRetrans | awk '/SynRetrans/ { print $2 }'; }
# What the servers' own short queues had no room for, in all namespaces of both nodes.
full()
{
  local host place
  for host in h1 h2; do for place in "$LAB/$host"/exec/netns/*; do
    on $host nsenter --net="$place" nstat -asz TcpExtListenDrops
  done; done | awk '/ListenDrops/ { sum += $2 } END { print sum + 0 }'
}
during()
{
  local to=$1 i
  for ((i = 0; i < 30; i++)); do
    on h3 curl -sS --max-time 20 "http://$(ip_of "$to"):8080/cgi-bin/who" >/dev/null || echo "failed: $to $i"
    sleep 0.05
  done
}
for end in skep_stop kill9; do
  before=$(($(again) - $(full)))
  during h1 >"$LAB/during.h1" 2>&1 &
  by_h1=$!
  during h2 >"$LAB/during.h2" 2>&1 &
  by_h2=$!
  $end h2 skepd
  skep_start h2
  wait "$by_h1" "$by_h2"
  same "" "$(cat "$LAB"/during.h?)" "requests during the restart"
  # One may be on its way to the node at the moment its rows are taken anew.
  lost=$(($(again) - $(full) - before))
  ((lost <= 1)) || fail "$lost connections had to be asked for again"
  eventually 60 spread h2
done

step "removed: the ports are free, the rules are gone"
manager service rm web >/dev/null
# The tasks take their time to stop.
unpublished() { [[ $(on "$1" nft list map ip skep_ingress published) != *8080* ]]; }
refuses() { ! ask h3 "$(ip_of "$1")" >/dev/null; }
for host in h1 h2; do
  eventually 60 unpublished $host
  eventually 60 refuses $host
done
free_port() { on h1 python3 -c 'import socket; socket.socket().bind(("", 8080))'; }
eventually 60 free_port
