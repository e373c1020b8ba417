#!/bin/bash
# The resolver process with dig from real namespaces: names of a cluster, name servers behind it
# (dnsmasq outside and inside of a sandbox), hostile ones on both sides, and a new process that goes
# on where the old one was killed.
. "$(dirname "$0")/../support/lab.sh"
lab_needs nft dig dnsmasq python3
bin=$SKEP_BUILD/tests/interop/interop_dns
peer=$(dirname "$(realpath "$0")")/dns_peer.py
id=dns$$ dir=$(mktemp -d /tmp/skep-dns.XXXXXX)

made=() programs=()
clean()
{
  local status=$?
  trap - EXIT
  set +e
  local pid name
  [[ $status == 0 ]] || tail -n 40 "$dir"/*.log
  for pid in "${programs[@]}"; do kill "$pid"; wait "$pid"; done 2>/dev/null
  for name in "${made[@]}"; do ip netns del "$name"; done
  rm -rf "$dir"
  exit "$status"
}
trap clean EXIT
trap 'exit 143' HUP INT TERM

in_ns() { local name=$1; shift; nsenter --net="/run/netns/$id$name" -- "$@"; }
exec_in_ns() { local name=$1; shift; exec nsenter --net="/run/netns/$id$name" -- "$@"; }
ns_add() { ip netns add "$id$1"; made+=("$id$1"); ip -n "$id$1" link set lo up; }
run_in() { local name=$1; shift; exec_in_ns "$name" "$@" & programs+=($!); }

step "a node, the world outside with its name servers, three sandboxes"
ns_add node; ns_add world; ns_add c1; ns_add c2; ns_add c3
ip -n "${id}node" link add eth0 type veth peer name eth0 netns "${id}world"
ip -n "${id}node" addr add 192.0.2.1/24 dev eth0
ip -n "${id}world" addr add 192.0.2.53/24 dev eth0
ip -n "${id}node" link set eth0 up
ip -n "${id}world" link set eth0 up
long=$(printf 'x%.0s' {1..250})
cat > "$dir/world.conf" <<CONF
no-resolv
no-hosts
port=53
user=root
pid-file=
log-queries
log-facility=-
edns-packet-max=4096
host-record=www.example.test,203.0.113.5
txt-record=long.example.test,$long,$long,$long
$(for i in {1..20}; do echo "txt-record=longer.example.test,$long"; done)
local=/example.test/
CONF
run_in world dnsmasq -k -C "$dir/world.conf" 2> "$dir/world.log"
run_in world python3 "$peer" upstream 5301 "$dir/seen"
run_in world python3 "$peer" hush 5302
# The container's own name server, on all its addresses.
run_in c2 dnsmasq -k -C /dev/null --no-resolv --no-hosts --port=53 --user=root --pid-file= \
  --host-record=own.example.test,203.0.113.9 2> "$dir/own.log"
eventually 60 in_ns world dig +short +tries=1 +time=1 @127.0.0.1 www.example.test
eventually 60 in_ns c2 dig +short +tries=1 +time=1 @127.0.0.1 own.example.test

coproc NODE { exec_in_ns node "$bin" 2>"$dir/node.log"; }
# Copies, because a coprocess's own descriptors are not there in subshells.
exec {to_node}>&"${NODE[1]}" {from_node}<&"${NODE[0]}"
node=$NODE_PID
programs+=("$node")
ask_node() { echo "$*" >&"$to_node"; read -r -t 60 said <&"$from_node" || fail "no answer to: $*"; }
say() { ask_node "$@"; same ok "$said" "$*"; }
pid() { ask_node pid; echo "${said#ok }"; }
q() { in_ns "$1" dig @127.0.0.11 +tries=1 +time=30 "${@:2}"; }
short() { q "$1" +short "${@:2}" | sort | tr '\n' ' ' | sed 's/ $//'; }
status() { q "$@" | sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }
flags() { q "$@" | sed -n 's/^;; flags: \([a-z ]*\);.*/\1/p'; }

world=server=192.0.2.53:53
say network n1 front
say network n2 back internal
for i in 1 2 3; do
  say record n1 e$i name=web.$i.task$i service=web alias=abcdef$i vip=10.0.1.2 "ip=10.0.1.1$i"
done
say record n1 d1 name=db.1.x service=db ip=10.0.1.21
say record n1 d2 name=db.2.x service=db ip=10.0.1.22
say record n2 q1 name=queue.1.x service=queue ip=10.0.2.5
say sandbox s1 n1 search=corp.test $world
say sandbox s2 n1,n2 inside=127.0.0.1:53
say sandbox s3 n2 search=corp.test $world
say sockets s1 "/run/netns/${id}c1"
say sockets s2 "/run/netns/${id}c2" inside
say sockets s3 "/run/netns/${id}c3"
say settled

step "names of the cluster"
same 10.0.1.2 "$(short c1 web)" "a service"
same 10.0.1.2 "$(short c1 WEB.Front)" "a service on its network, in other letters"
same "10.0.1.11 10.0.1.12 10.0.1.13" "$(short c1 tasks.web)" "its tasks"
same "10.0.1.21 10.0.1.22" "$(short c1 db)" "a service without virtual address"
same 10.0.1.12 "$(short c1 web.2.task2)" "a container"
same 10.0.1.13 "$(short c1 abcdef3)" "an alias"
same web.2.task2.front. "$(short c1 -x 10.0.1.12)" "an address"
same NOERROR "$(status c1 web AAAA)" "a type it has not"
same "" "$(short c1 web MX)" "a type it has not"
same 10.0.1.2 "$(short c1 +tcp web)" "over TCP"
same 10.0.2.5 "$(short c2 queue)" "a name of another network"
same SERVFAIL "$(status c3 web)" "a name the sandbox does not see"
[[ $(q c1 +noall +answer web) =~ ^web\..*600.*IN.*A.*10\.0\.1\.2$ ]] || fail "another answer to web"
for ((i = 0; i < 40; i++)); do q c1 +short tasks.web | head -1; done | sort -u > "$dir/first"
same 3 "$(wc -l < "$dir/first")" "each task comes first at times"

step "changes"
say record n1 e3 name=web.3.task3 service=web alias=abcdef3 vip=10.0.1.2 ip=10.0.1.13 draining
say unrecord n1 d1
say settled
same "10.0.1.11 10.0.1.12" "$(short c1 tasks.web)" "without the one that drains"
same 10.0.1.2 "$(short c1 web)" "the service stays"
same "" "$(short c1 web.3.task3)" "the draining one has no address"
same 10.0.1.22 "$(short c1 db)" "without the one that went"

step "a name server outside, asked from the host"
same 203.0.113.5 "$(short c1 www.example.test)" "over UDP"
same 203.0.113.5 "$(short c1 +tcp www.example.test)" "over TCP"
same NXDOMAIN "$(status c1 nobody.example.test)" "a name that is not there"
same "qr rd ra" "$(flags c1 +noedns +ignore longer.example.test TXT | sed 's/ aa//; s/ tc//')" "flags"
[[ $(flags c1 +noedns +ignore long.example.test TXT) =~ tc ]] || fail "a cut reply is not marked"
[[ $(q c1 +short +bufsize=1232 +ignore long.example.test TXT) =~ $long ]] || fail "EDNS does not pass"
[[ $(q c1 +short longer.example.test TXT) =~ $long ]] || fail "no whole answer over TCP"

step "servers that fail"
say sandbox s1 n1 server=192.0.2.53:5999 $world
same 203.0.113.5 "$(short c1 www.example.test)" "past a server that is not there"
say sandbox s1 n1 server=192.0.2.53:5302 $world
before=${EPOCHREALTIME/./}
same 203.0.113.5 "$(short c1 www.example.test)" "past a server that is silent"
same 203.0.113.5 "$(short c1 +tcp www.example.test)" "past a server that is silent over TCP"
say sandbox s1 n1 server=192.0.2.53:5302
same SERVFAIL "$(status c1 www.example.test)" "no server answers"
took=$(((${EPOCHREALTIME/./} - before) / 1000))
((took < 14000)) || fail "failures took $took ms"
say sandbox s1 n1 server=192.0.2.53:5301

step "forged replies are not believed; IDs and ports are drawn anew"
for ((i = 0; i < 60; i++)); do same 192.0.2.77 "$(short c1 "f$i.example.test")" "the true answer"; done
same 60 "$(cut -d' ' -f1 "$dir/seen" | sort -u | awk 'END { print (NR >= 55) ? 60 : NR }')" "ports"
same 60 "$(cut -d' ' -f2 "$dir/seen" | sort -u | awk 'END { print (NR >= 58) ? 60 : NR }')" "IDs"
say sandbox s1 n1 $world

step "a container's own name server on port 53, asked from inside"
same 203.0.113.9 "$(short c2 own.example.test)" "through the resolver"
same 203.0.113.9 "$(in_ns c2 dig +short @127.0.0.1 own.example.test)" "directly"
same 10.0.1.2 "$(short c2 web)" "the resolver beside it"

step "nothing of an internal network leaves"
same SERVFAIL "$(status c3 leak.example.test)" "an outside name"
same NXDOMAIN "$(status c3 leak.corp.test)" "a search domain's name"
grep -q www "$dir/world.log" || fail "no log of the questions that leave"
grep -q leak "$dir/world.log" && fail "a question of an internal network left"

step "broken questions, half questions, many questions"
in_ns c1 python3 "$peer" garbage
same 10.0.1.2 "$(short c1 web)" "after garbage"
run_in c1 python3 "$peer" half 200 30 > "$dir/half"
eventually 60 grep -q held "$dir/half"
same 10.0.1.2 "$(short c1 +tcp web)" "beside half-open connections"
same 500 "$(in_ns c1 python3 "$peer" pipeline web 500)" "answers to questions at once"
same 300 "$(in_ns c1 python3 "$peer" pipeline www.example.test 300)" "forwarded answers"

step "one sandbox floods a silent server, the others do not notice"
say sandbox s1 n1 server=192.0.2.53:5302
say sandbox s2 n1 $world
run_in c1 python3 "$peer" flood example.test 200
flood=$!
for ((i = 0; i < 12; i++)); do
  same 10.0.1.2 "$(in_ns c2 dig @127.0.0.11 +tries=1 +time=20 +short web)" "a name during the flood"
  same 203.0.113.5 "$(in_ns c2 dig @127.0.0.11 +tries=1 +time=20 +short www.example.test)" \
    "an outside name during the flood"
done
kill "$flood" || fail "the flood was over too soon"
wait "$flood" || true
say sandbox s1 n1 $world

step "a resolver process that is killed: a new one answers on the same sockets"
old=$(pid)
kill -9 "$old"
before=${EPOCHREALTIME/./}
same 10.0.1.2 "$(short c1 web)" "the name again"
took=$(((${EPOCHREALTIME/./} - before) / 1000))
((took < 5000)) || fail "it took $took ms"
same 203.0.113.5 "$(short c1 www.example.test)" "an outside name again"
same "10.0.1.11 10.0.1.12" "$(short c1 tasks.web)" "the names as they were"

step "a sandbox that goes leaves nothing"
say settled
files() { find "/proc/$(pid)/fd" -mindepth 1 | wc -l; }
say unsandbox s2
say settled
before=$(files)
say sandbox s4 n1
say sockets s4 "/run/netns/${id}c2" inside
say settled
same 10.0.1.2 "$(short c2 web)" "another sandbox in its place"
say unsandbox s4
say settled
files_as_before() { [[ $(files) == "$before" ]]; }
eventually 60 files_as_before
refused 'timed out|refused|no servers' in_ns c2 dig @127.0.0.11 +tries=1 +time=1 web

step "an orderly end"
eval "exec ${NODE[1]}>&- $to_node>&-"
wait "$node" || fail "it ended with status $?"
grep -q 'exit=0' "$dir/node.log" || fail "the resolver process did not end in order"
