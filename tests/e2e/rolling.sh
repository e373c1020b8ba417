#!/bin/bash
# A service under load while it is scaled up, scaled down and rolled: not one request fails, by the
# service's address from a container or by the port of either node from outside; and at the end the new
# tasks answer, all of them, and nobody else. (A health check tells when a task listens.) And when a node
# dies, those who are connected to its tasks learn of it.
# ctest: COST 40
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft python3
lab_up 3 # h3 is a client
skep_image h1 h2
manager() { skep h1 "$@"; }
replicas() { [[ $(manager service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }

step "two nodes, a published service on a network, a container beside it"
skep_start h1
skep_start h2
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null
manager network create --driver overlay --attachable --subnet 10.40.0.0/24 blue >/dev/null
manager service create --detach --quiet --name web --network blue --publish 8080:80 --replicas 4 \
  --update-parallelism 2 --update-order start-first --stop-grace-period 5s \
  --health-cmd 'wget -q -O /dev/null http://127.0.0.1/' --health-interval 200ms "$LAB_IMAGE" \
  sh -c 'mkdir /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null 2>&1
eventually 60 replicas web 4/4
client=$(skep h1 run -d --name client --network blue "$LAB_IMAGE" sleep 100000)
vip=$(manager service inspect web --format '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}' | grep -o '10\.40\.0\.[0-9]*')

# load ADDRESS PORT FOLDER: asks until FOLDER/stop is there. A line for each answer, with its time and
# who gave it, or what went wrong.
cat >"$LAB/load.py" <<'PY'
import os, socket, sys, time
address, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
while not os.path.exists(folder + "/stop"):
    began = time.time()
    try:
        with socket.create_connection((address, port), 10) as s:
            s.settimeout(20)
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b"".join(iter(lambda: s.recv(4096), b""))
        head, _, body = data.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ValueError(head[:60])
        print("%.1f %s" % (began, body.decode().strip()), flush=True)
    except (OSError, ValueError) as e:
        print("failed %.1f after %.1f s: %r" % (began, time.time() - began, e), flush=True)
    time.sleep(0.01)
PY
inside() { on h1 nsenter --net="$LAB/h1/exec/netns/${client:0:12}" -- python3 "$LAB/load.py" "$vip" 80 "$LAB"; }
outside() { on h3 python3 "$LAB/load.py" "$(ip_of "$1")" 8080 "$LAB"; }
inside >>"$LAB/inside.answers" &
outside h1 >>"$LAB/h1.answers" &
outside h2 >>"$LAB/h2.answers" &
# A task that gossip has yet to carry is no failure of what comes: all four answer, on each of the ways.
answered()
{
  local file
  for file in "$LAB"/*.answers; do
    [[ $(tail -n 40 "$file" | cut -d' ' -f1 | grep -c failed) == 0 ]] || return 1
    [[ $(tail -n 40 "$file" | awk 'NF == 2 { print $2 }' | sort -u | wc -l) == 4 ]] || return 1
  done
}
eventually 60 answered
for file in "$LAB"/*.answers; do : >"$file"; done

step "an open connection may be idle for a day (stock's balancer forgets it after 15 minutes)"
for sandbox in "${client:0:12}" ingress_sbox; do
  idle=$(on h1 nsenter --net="$LAB/h1/exec/netns/$sandbox" -- cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established)
  ((idle >= 86400)) || fail "$sandbox forgets an idle connection after $idle s"
done

step "scaled up and down"
in_sequence manager service scale --detach web=8 >/dev/null
eventually 60 replicas web 8/8
in_sequence manager service scale --detach web=3 >/dev/null
eventually 60 replicas web 3/3

step "rolled"
in_sequence manager service update --detach --quiet --force web >/dev/null
rolled() { [[ $(manager service inspect web --format '{{.UpdateStatus.State}}') == completed ]]; }
eventually 120 rolled
tasks() { { skep h1 ps -q --filter name=web; skep h2 ps -q --filter name=web; } | sort | tr '\n' ' '; }
three() { [[ $(tasks | wc -w) == 3 ]]; }
eventually 60 three
wanted=$(tasks)
new_ones() { [[ $(tail -n 25 "$LAB/$1.answers" | awk '{ print $2 }' | sort -u | tr '\n' ' ') == "$wanted" ]]; }
for who in inside h1 h2; do eventually 60 new_ones $who; done
touch "$LAB/stop"
wait
same "" "$(grep -h failed "$LAB"/*.answers || true)" "requests"
echo "$(cat "$LAB"/*.answers | wc -l) requests answered"

step "a node dies: connections to its tasks are cut, those to others go on"
manager service create --detach --quiet --name held --network blue --replicas 2 "$LAB_IMAGE" \
  sh -c 'mkdir -p /w/cgi-bin; printf "#!/bin/sh\necho\ncat >/dev/null\n" >/w/cgi-bin/hold; chmod 755 /w/cgi-bin/hold
    exec httpd -f -p 7 -h /w' >/dev/null 2>&1
eventually 60 replicas held 2/2
vip=$(manager service inspect held --format '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}' | grep -o '10\.40\.0\.[0-9]*')
# Sends a little on each of ten connections until some were reset and the others have nothing left to send.
cat >"$LAB/held.py" <<'PY'
import fcntl, socket, struct, sys, termios, time
def dial():
    s = socket.create_connection((sys.argv[1], 7), 10)
    s.sendall(b"POST /cgi-bin/hold HTTP/1.0\r\nContent-Length: 1000000\r\n\r\n")
    return s
def waits(s):
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0\0\0\0"))[0] > 0
alive, began, reset = [dial() for _ in range(10)], time.time(), 0
print("held", flush=True)
while time.time() - began < 150 and (reset == 0 or any(map(waits, alive))):
    for s in list(alive):
        try:
            s.sendall(b"x")
        except ConnectionResetError:
            reset += 1
            alive.remove(s)
    time.sleep(0.2)
print("cut" if reset and alive and not any(map(waits, alive)) else "not cut", reset, len(alive))
PY
inside_held() { on h1 nsenter --net="$LAB/h1/exec/netns/${client:0:12}" -- python3 "$LAB/held.py" "$vip"; }
both_listen() { [[ $(on h1 nsenter --net="$LAB/h1/exec/netns/${client:0:12}" -- nft -n list map ip skep_lb vips) == *"$vip : 0:2"* ]] && on h1 nsenter --net="$LAB/h1/exec/netns/${client:0:12}" -- python3 -c '
import socket, sys
for i in range(10): socket.create_connection((sys.argv[1], 7), 5)' "$vip"; }
eventually 60 both_listen
inside_held >"$LAB/held" &
holder=$!
holding() { [[ $(head -1 "$LAB/held") == held ]]; }
eventually 60 holding
on h2 ip link set eth0 down
wait "$holder"
[[ $(tail -1 "$LAB/held") == cut* ]] || fail "after h2 died: $(cat "$LAB/held")"
echo "$(tail -1 "$LAB/held") of ten connections"
