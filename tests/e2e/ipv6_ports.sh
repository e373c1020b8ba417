#!/bin/bash
# Published ports on the host's IPv6 addresses: of the routing mesh, in host mode and of docker run, by TCP and
# UDP, from outside and by [::1], from every node; by a process without rights of its own that runs once it is
# needed, comes back when it is killed, and is not there with --userland-proxy=false.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft curl python3
[[ -e /proc/net/if_inet6 ]] || skip "this kernel has no IPv6"
lab_up 3 # h3 is a client
skep_image h1 h2
manager() { skep h1 "$@"; }
six_of() { echo "fd77::$((10 + ${1#h}))"; }
for host in h1 h2 h3; do
  on $host ip addr add "$(six_of $host)/64" dev eth0 nodad || skip "hosts have no IPv6 here"
done

step "two nodes; nothing is published, and nothing runs for it"
skep_start h1
skep_start h2
relay_of() { on "$1" pgrep -f '^skepd: relay' || true; }
same '' "$(relay_of h1)" "the relay, before a port is published"
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null

step "the routing mesh, TCP and UDP: any node by its IPv6 address, and by [::1]"
manager service create --detach --quiet --name web --constraint node.hostname==h1 --hostname web \
  --publish 8080:80 --publish published=8053,target=53,protocol=udp "$LAB_IMAGE" \
  sh -c 'mkdir /w; hostname >/w/index.html; trap "exit 0" TERM; httpd -f -p 80 -h /w & wait' >/dev/null 2>&1
runs() { [[ $(manager service ls --filter name=web --format '{{.Replicas}}') == 1/1 ]]; }
eventually 60 runs
id=$(skep h1 ps --quiet --no-trunc --filter name=web)
start h1 datagrams nsenter --net="$LAB/h1/exec/netns/${id:0:12}" -- python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
while True: s.sendto(b"web", s.recvfrom(100)[1])'
page() { local to=$2; [[ $to != *:* ]] || to="[$to]"; on "$1" curl -gsS --max-time 10 "http://$to:$3/"; }
shows() { [[ $(page "$1" "$2" "$3") == "$4" ]]; }
for host in h1 h2; do
  eventually 60 shows h3 "$(six_of $host)" 8080 web
  eventually 60 shows $host ::1 8080 web
  # The address of the other family goes on as before.
  eventually 60 shows h3 "$(ip_of $host)" 8080 web
done
asks() # FROM ADDRESS PORT WANTED: by UDP; the answer comes from the address that was asked.
{
  on "$1" python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"who?\n")
sys.exit(s.recv(100).decode().strip() != sys.argv[3])' "$2" "$3" "$4"
}
for host in h1 h2; do
  eventually 60 asks h3 "$(six_of $host)" 8053 web
  eventually 60 asks $host ::1 8053 web
done

step "in host mode, and docker run: without an address on both, with 0.0.0.0 not on IPv6"
serve='mkdir /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w'
manager service create --detach --quiet --name own --constraint node.hostname==h1 --hostname own \
  --publish mode=host,published=8081,target=80 "$LAB_IMAGE" sh -c "$serve" >/dev/null 2>&1
skep h1 run -d --name both --hostname both -p 8082:80 "$LAB_IMAGE" sh -c "$serve" >/dev/null
skep h1 run -d --name four --hostname four -p 0.0.0.0:8083:80 "$LAB_IMAGE" sh -c "$serve" >/dev/null
eventually 60 shows h3 "$(six_of h1)" 8081 own
eventually 60 shows h3 "$(six_of h1)" 8082 both
eventually 60 shows h1 ::1 8082 both
eventually 60 shows h3 "$(ip_of h1)" 8083 four
refuses() { on "$1" python3 -c 'import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
except ConnectionRefusedError: sys.exit(0)
sys.exit(1)' "$2" "$3"; }
refuses h3 "$(six_of h1)" 8083 || fail "a port of 0.0.0.0 answers on IPv6"

step "of one IPv6 address alone: there and nowhere else, by TCP and UDP, and nobody else's"
six=$(six_of h1)
skep h1 run -d --name six --hostname six -p '[::1]:8084:80' -p "[$six]:8085:80" -p "[$six]:8086:53/udp" -p '[::]:8087:80' \
  "$LAB_IMAGE" sh -c "$serve" >/dev/null
start h1 answers nsenter --net="$(skep h1 inspect -f '{{.NetworkSettings.SandboxKey}}' six)" -- python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
while True: s.sendto(b"six", s.recvfrom(100)[1])'
alone_answers()
{
  shows h1 ::1 8084 six && shows h3 "$six" 8085 six && shows h1 "$six" 8085 six && asks h3 "$six" 8086 six &&
    shows h3 "$six" 8087 six && shows h1 ::1 8087 six
}
eventually 60 alone_answers
for port in 8084 8087; do refuses h1 127.0.0.1 $port || fail "port $port answers on IPv4"; done
refuses h3 "$six" 8084 || fail "a port of [::1] answers from outside"
refuses h1 ::1 8085 || fail "a port of $six answers at [::1]"
refused 'Bind for ::1:8084 failed: port is already allocated' skep h1 run --rm -p '[::1]:8084:80' "$LAB_IMAGE" true
refused 'Bind for ::1:8082 failed: port is already allocated' skep h1 run --rm -p '[::1]:8082:80' "$LAB_IMAGE" true
refused 'annot assign requested address' skep h1 run --rm -p '[fd99::1]:8090:80' "$LAB_IMAGE" true

step "shown as Docker shows them"
ports_of() { skep h1 ps --filter "name=$1" --format '{{.Ports}}' | tr -d '[]'; } # which some commands write
same '0.0.0.0:8082->80/tcp, :::8082->80/tcp' "$(ports_of both)" "the ports without an address"
same '0.0.0.0:8083->80/tcp' "$(ports_of four)" "the port of 0.0.0.0"
same "$six:8086->53/udp, :::8087->80/tcp, ::1:8084->80/tcp, $six:8085->80/tcp" "$(ports_of six)" "the ports of one address"
same '0.0.0.0 ::' "$(skep h1 inspect -f '{{range index .NetworkSettings.Ports "80/tcp"}}{{.HostIp}} {{end}}' both | xargs)" \
  "the addresses of inspect"

step "much at a time comes whole"
skep h1 exec both sh -c 'dd if=/dev/urandom of=/w/much bs=1M count=8 2>/dev/null'
sum() { md5sum | cut -d' ' -f1; }
same "$(skep h1 exec both md5sum /w/much | cut -d' ' -f1)" \
  "$(on h3 curl -gsS --max-time 60 "http://[$(six_of h1)]:8082/much" | sum)" "eight megabytes"

step "the relay: no rights, restarted when it is killed, with skepd, and gone with the ports"
relay=$(relay_of h1)
[[ $relay =~ ^[0-9]+$ ]] || fail "the relay is '$relay'"
status() { on h1 awk -v key="$1:" '$1 == key { print $2 }' "/proc/$relay/status"; }
[[ $(status Uid) != 0 ]] || fail "the relay is root"
same 0000000000000000 "$(status CapEff)" "its capabilities"
same 1 "$(status NoNewPrivs)" "no_new_privs"
same 2 "$(status Seccomp)" "its list of system calls"
on h1 kill -KILL "$relay"
another() { [[ $(relay_of h1) =~ ^[0-9]+$ && $(relay_of h1) != "$relay" ]]; }
eventually 60 another
eventually 60 shows h3 "$(six_of h1)" 8080 web
eventually 60 shows h3 "$(six_of h1)" 8082 both
skep_stop h1
no_relay() { same '' "$(relay_of h1)" "the relay without skepd"; }
eventually 60 no_relay
skep_start h1
for port in 8080 8081 8082; do
  want=([8080]=web [8081]=own [8082]=both)
  eventually 60 shows h3 "$(six_of h1)" $port "${want[port]}"
done
eventually 60 alone_answers
refuses h3 "$(six_of h1)" 8083 || fail "a port of 0.0.0.0 answers on IPv6 after a restart"
skep h1 restart -t 0 six >/dev/null
eventually 60 shows h3 "$six" 8085 six
skep h1 rm -f six >/dev/null
eventually 60 refuses h3 "$six" 8085
manager service rm web >/dev/null
skep h1 rm -f both >/dev/null
for gone in "h1 8080" "h2 8080" "h1 8082"; do
  # shellcheck disable=SC2086 # two words
  set -- $gone
  eventually 60 refuses h3 "$(six_of "$1")" "$2"
done

step "--userland-proxy=false: IPv4 alone"
skep_stop h1
skep_start h1 --userland-proxy=false
eventually 60 shows h3 "$(ip_of h1)" 8081 own
refuses h3 "$(six_of h1)" 8081 || fail "a port answers on IPv6 all the same"
same '' "$(relay_of h1)" "the relay that is not wanted"
same '0.0.0.0:8081->80/tcp' "$(ports_of own)" "the port as it is shown then"
refused 'needs the userland proxy' skep h1 run --rm -p '[::1]:8084:80' "$LAB_IMAGE" true
