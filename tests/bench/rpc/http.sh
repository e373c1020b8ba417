#!/bin/bash
# The rows of HTTP for rpc.sh: GET /_ping on a unix socket, by our Engine API server (the one that
# tests/interop/http.sh shows to curl) and a stock dockerd in turns, with load from h2load, which
# neither of them wrote. "Per core" is by the processor time of the process that answers.
#
#   http.sh FOLDER ROUNDS SECONDS
#
# Appends each round's figure to FOLDER/http_CONNECTIONS_connections.{per_core,rate}.{skep,peer}.
. "$(dirname "$0")/../../support/lab.sh"
lab_needs dockerd docker
command -v h2load >/dev/null || skip "needs h2load (./dev setup installs it)"
folder=$1 rounds=$2 seconds=$3

ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# ping WHO PID SOCKET CONNECTIONS
ping()
{
  local who=$1 pid=$2 socket=$3 connections=$4 before used said count
  before=$(ticks_of "$pid")
  said=$(h2load --h1 --base-uri "unix:$socket" --clients "$connections" --duration "$seconds" \
    http://localhost/_ping)
  used=$(($(ticks_of "$pid") - before))
  # "requests: N total, N started, N done, N succeeded, N failed, N errored, N timeout"
  count=$(awk '/^requests:/ { print $8; if ($10 + $12 + $14 > 0) exit 1 }' <<<"$said") ||
    fail "$who does not answer everything: $said"
  awk -v n="$count" -v t="$used" 'BEGIN { print n * 100 / t }' \
    >>"$folder/http_${connections}_connections.per_core.$who"
  awk -v n="$count" -v s="$seconds" 'BEGIN { print n / s }' \
    >>"$folder/http_${connections}_connections.rate.$who"
}

lab_up 1
stock_start h1
coproc SERVER { exec "$SKEP_BUILD/tests/interop/interop_http" "$LAB/api.sock"; }
server=$SERVER_PID
read -r ready <&"${SERVER[0]}"
same ready "$ready" "our server"
for ((round = 1; round <= rounds; round++)); do
  for connections in 1 100; do
    ping skep "$server" "$LAB/api.sock" "$connections"
    ping peer "$(pid_of h1 dockerd)" "$LAB/h1/docker.sock" "$connections"
  done
done
