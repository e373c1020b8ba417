#!/bin/bash
# HTTP as curl and the docker command speak it, against our server on a unix socket: the ping,
# versions, information, a long answer in chunks, refusals, and who never finishes a request.
. "$(dirname "$0")/../support/lab.sh"
command -v curl >/dev/null || skip "needs curl"
command -v python3 >/dev/null || skip "needs python3"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
socket=$folder/api.sock
coproc SERVER { "$SKEP_BUILD/tests/interop/interop_http" "$socket"; }
server=$SERVER_PID
read -r ready <&"${SERVER[0]}"
same ready "$ready" "the server"

get() { curl --silent --show-error --max-time 60 --unix-socket "$socket" "$@"; }
status() { get --output /dev/null --write-out '%{http_code}' "$@"; }

step "curl: ping, version, information"
same OK "$(get http://x/_ping)" "GET /_ping"
get --head http://x/_ping | tr -d '\r' >"$folder/head"
grep -qx 'Api-Version: 1.50' "$folder/head" || fail "no Api-Version: $(<"$folder/head")"
grep -qx 'Swarm: inactive' "$folder/head" || fail "no Swarm: $(<"$folder/head")"
grep -q '"ApiVersion":"1.50"' <(get http://x/version) || fail "GET /version"
grep -q '"LocalNodeState":"inactive"' <(get http://x/v1.41/info) || fail "GET /info"

step "curl: a long answer, and the next one on the same connection"
get http://x/networks http://x/_ping >"$folder/long"
same 2000 "$(grep -o '"Name"' "$folder/long" | wc -l)" "networks listed"
grep -q 'OK$' "$folder/long" || fail "the second answer is missing"

step "curl: refusals"
same 404 "$(status http://x/nosuch)" "an unknown path"
same 400 "$(status http://x/v1.99/info)" "a version from the future"
same 503 "$(status http://x/nodes)" "not a manager"
same 431 "$(status --header "X: $(head -c 70000 /dev/zero | tr '\0' a)" http://x/_ping)" "a huge header"
same 414 "$(status "http://x/$(head -c 40000 /dev/zero | tr '\0' a)")" "a huge target"
head -c 7000000 /dev/zero >"$folder/huge"
same 413 "$(status --data-binary @"$folder/huge" http://x/services/create)" "a huge body"
same 413 "$(status --header 'Expect:' --header 'Transfer-Encoding: chunked' \
  --data-binary @"$folder/huge" http://x/services/create)" "a huge body in chunks"
same 400 "$(status --header 'Content-Type: text/plain' --data x http://x/swarm/init)" "a wrong type"

step "who never finishes a request holds nobody up"
cat >"$folder/slow.py" <<'END'
import socket, sys, time
held = [socket.socket(socket.AF_UNIX) for _ in range(50)]
for each in held:
    each.connect(sys.argv[1])
    each.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nX-Slow: ")
print("standing", flush=True)
time.sleep(300)
END
python3 "$folder/slow.py" "$socket" >"$folder/slow" &
slow=$!
trap 'kill "$slow" 2>/dev/null || true; rm -rf "$folder"' EXIT
eventually 60 grep -q standing "$folder/slow"
for i in {1..20}; do same OK "$(get http://x/_ping)" "ping among slow senders"; done
kill "$slow"
wait "$slow" || true

if command -v docker >/dev/null; then
  step "the docker command: version, info"
  export DOCKER_HOST=unix://$socket
  unset DOCKER_API_VERSION
  same 0.1.0 "$(docker version --format '{{.Server.Version}}')" "docker version"
  same inactive "$(docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)" "docker info"
  refused 'This node is not a swarm manager' docker node ls
  refused 'This node is not a swarm manager' docker service ls
  same 2000 "$(docker network ls --quiet | wc -l)" "docker network ls"
fi

step "the server ends well"
eval "exec ${SERVER[1]}>&-"
wait "$server" || fail "the server did not end well"
