#!/bin/bash
# The rows of HTTP for rpc.sh: GET /_ping and GET /version on the unix sockets of a skepd and of a stock
# dockerd in turns, with load from h2load, which neither of them wrote. "Per core" is by the processor
# time of the process that answers.
#
#   http.sh FOLDER ROUNDS SECONDS
#
# Appends each round's figure to FOLDER/http_PATH_CONNECTIONS_connections.{per_core,rate}.{skep,peer}.
. "$(dirname "$0")/../../support/lab.sh"
lab_needs dockerd docker
command -v h2load >/dev/null || skip "needs h2load (./dev setup installs it)"
folder=$1 rounds=$2 seconds=$3

ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# ask WHO PID SOCKET PATH CONNECTIONS
ask()
{
  local who=$1 pid=$2 socket=$3 path=$4 connections=$5 before used said count case
  before=$(ticks_of "$pid")
  said=$(h2load --h1 --base-uri "unix:$socket" --clients "$connections" --duration "$seconds" \
    "http://localhost/$path")
  used=$(($(ticks_of "$pid") - before))
  # "requests: N total, N started, N done, N succeeded, N failed, N errored, N timeout"
  count=$(awk '/^requests:/ { print $8; if ($10 + $12 + $14 > 0) exit 1 }' <<<"$said") ||
    fail "$who does not answer everything: $said"
  case=$folder/http_${path#_}_${connections}_connections
  awk -v n="$count" -v t="$used" 'BEGIN { print n * 100 / t }' >>"$case.per_core.$who"
  awk -v n="$count" -v s="$seconds" 'BEGIN { print n / s }' >>"$case.rate.$who"
}

lab_up 2
stock_start h1
skep_start h2
for ((round = 0; round < rounds; round++)); do
  for path in _ping version; do
    for connections in 1 100; do
      ask skep "$(pid_of h2 skepd)" "$LAB/h2/skep.sock" "$path" "$connections"
      ask peer "$(pid_of h1 dockerd)" "$LAB/h1/docker.sock" "$path" "$connections"
    done
  done
done
