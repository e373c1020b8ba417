#!/bin/bash
# gRPC over mutual TLS, ours and gRPC C++ in turns on the same machine: calls, latency, handshakes,
# memory of idle connections; and HTTP on a unix socket, ours and a stock dockerd. Load comes from one
# and the same generator, unless the client is what is measured. Figures "per core" are by processor
# time used, so that neighbours disturb little; each is the median of ROUNDS rounds.
#
# Prints a table, and one JSON line per row.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/certs.sh

SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
IDLE=${IDLE:-200} # connections
OURS=$SKEP_BUILD/tests/interop/grpc/interop_grpc
THEIRS=$SKEP_BUILD/tests/interop/grpc/interop_grpc_peer
[[ -x $THEIRS ]] || { echo "needs gRPC C++ (./dev setup installs it)"; exit 1; }

folder=$(mktemp -d)
server_pid=
cleanup() { [[ -z $server_pid ]] || kill "$server_pid" 2>/dev/null || true; rm -rf "$folder"; }
trap cleanup EXIT
certs_make "$folder"
ulimit -n "$(ulimit -Hn)"

# ---- a server at a time --------------------------------------------------------------------------

server_start()
{
  mkfifo "$folder/in"
  exec 7<>"$folder/in"
  "$1" serve "$folder" <"$folder/in" >"$folder/out" 7>&- &
  server_pid=$!
  until [[ -s $folder/out ]]; do sleep 0.02; done
  read -r port <"$folder/out"
  address=127.0.0.1:$port
}

server_stop()
{
  # Its standard input ends when the last writer is gone.
  exec 7>&-
  wait "$server_pid" || true
  server_pid=
  rm -f "$folder/in" "$folder/out"
}

# Processor time of a process in clock ticks, and its private memory in bytes.
ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
memory_of() { awk '/^Private_/ { sum += $2 } END { print sum * 1024 }' "/proc/$1/smaps_rollup"; }

# keep CASE WHO VALUE: one round's figure.
keep() { echo "$3" >>"$folder/$1.$2"; }

# field NAME: a figure from a generator's line on standard input.
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }

# ---- cases ---------------------------------------------------------------------------------------

# load PROGRAM CONNECTIONS AT_ONCE SECONDS: sets `line` to what the generator said, and `used` to the
# server's ticks from when all connections stood.
load()
{
  local before pid
  coproc LOAD { exec "$1" load "$address" "$folder" "$2" "$3" "$4"; }
  pid=$LOAD_PID
  read -r line <&"${LOAD[0]}"
  before=$(ticks_of "$server_pid")
  echo >&"${LOAD[1]}"
  read -r line <&"${LOAD[0]}"
  used=$(($(ticks_of "$server_pid") - before))
  wait "$pid" || true
}

# calls CASE WHO PROGRAM CONNECTIONS AT_ONCE
calls()
{
  local name=$1 who=$2 line used
  server_start "$3"
  load "$OURS" "$4" "$5" 0.3 # warm
  load "$OURS" "$4" "$5" "$SECONDS_EACH"
  server_stop
  keep "$name.per_core" "$who" \
    "$(awk -v n="$(field calls <<<"$line")" -v t="$used" 'BEGIN { print n * 100 / t }')"
  keep "$name.rate" "$who" "$(awk -v n="$(field calls <<<"$line")" \
    -v s="$(field seconds <<<"$line")" 'BEGIN { print n / s }')"
  keep "$name.p50" "$who" "$(field p50_us <<<"$line")"
  keep "$name.p99" "$who" "$(field p99_us <<<"$line")"
}

# client CASE WHO PROGRAM: what a client needs per call, against our server.
client()
{
  local line used
  server_start "$OURS"
  load "$3" 1 64 "$SECONDS_EACH"
  server_stop
  keep "$1" "$2" "$(awk -v n="$(field calls <<<"$line")" -v c="$(field cpu <<<"$line")" \
    'BEGIN { print n / c }')"
}

# handshakes CASE WHO PROGRAM full|resumed
handshakes()
{
  local before after line
  server_start "$3"
  before=$(ticks_of "$server_pid")
  line=$("$OURS" handshakes "$address" "$folder" 8 "$SECONDS_EACH" "$4")
  after=$(ticks_of "$server_pid")
  server_stop
  keep "$1" "$2" "$(awk -v n="$(field handshakes <<<"$line")" -v t="$((after - before))" \
    'BEGIN { print n * 100 / t }')"
}

# idle CASE WHO PROGRAM: private memory per connection that only exists.
idle()
{
  local before after held line used
  server_start "$3"
  load "$OURS" 4 4 0.3 # what is made once is there
  before=$(memory_of "$server_pid")
  mkfifo "$folder/idle"
  exec 8<>"$folder/idle"
  "$OURS" idle "$address" "$folder" "$IDLE" <"$folder/idle" >"$folder/idle.out" 8>&- 7>&- &
  held=$!
  until [[ -s $folder/idle.out ]]; do kill -0 "$held"; sleep 0.05; done
  sleep 1 # handshakes' garbage is given back
  after=$(memory_of "$server_pid")
  exec 8>&-
  wait "$held" || true
  rm -f "$folder/idle" "$folder/idle.out"
  server_stop
  keep "$1" "$2" $(((after - before) / IDLE))
}

for ((round = 1; round <= ROUNDS; round++)); do
  echo "round $round of $ROUNDS" >&2
  for who in skep peer; do
    program=$OURS
    [[ $who == skep ]] || program=$THEIRS
    calls unary_1_connection "$who" "$program" 1 1
    calls unary_1_connection_64_at_once "$who" "$program" 1 64
    calls unary_100_connections "$who" "$program" 100 100
    client unary_client "$who" "$program"
    handshakes full_handshakes "$who" "$program" full
    handshakes resumed_handshakes "$who" "$program" resumed
    if ((round == 1)); then idle idle_connection "$who" "$program"; fi
  done
done

# The curves' operations in full handshakes, in turns with OpenSSL's: what a difference comes from.
for ((round = 1; round <= ROUNDS; round++)); do
  line=$("$SKEP_BUILD/tests/bench/bench_crypto" 0.5)
  for name in sign verify x25519; do keep "crypto_$name" skep "$(field "$name" <<<"$line")"; done
  # "+F4:number:bits:signatures/s:checks/s" and "+F5:number:bits:operations/s:seconds each"
  line=$(openssl speed -mr -seconds 1 ecdsap256 ecdhx25519 2>/dev/null)
  keep crypto_sign peer "$(awk -F: '$1 == "+F4" { print $4 }' <<<"$line")"
  keep crypto_verify peer "$(awk -F: '$1 == "+F4" { print $5 }' <<<"$line")"
  keep crypto_x25519 peer "$(awk -F: '$1 == "+F5" { print $4 }' <<<"$line")"
done

# Needs root for the dockerd; without, these rows are left out and it says so.
http=true
SKEP_BUILD=$SKEP_BUILD tests/bench/rpc/http.sh "$folder" "$ROUNDS" "$SECONDS_EACH" >&2 || http=false

# ---- what came out -------------------------------------------------------------------------------

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# row CASE UNIT AIM [PEER]: ratios are ours to theirs, or for what should be small theirs to ours.
row()
{
  local ours theirs ratio small=false
  [[ $2 != us && $2 != bytes ]] || small=true
  ours=$(median "$folder/$1.skep")
  theirs=$(median "$folder/$1.peer")
  ratio=$(awk -v a="$ours" -v b="$theirs" -v small=$small \
    'BEGIN { over = small == "true" ? b : a; under = a + b - over
      printf "%.2f", (under > 0 ? over / under : 0) }')
  ours=$(printf %.0f "$ours") theirs=$(printf %.0f "$theirs")
  printf '%-42s %-22s %10s %10s %7s  %s\n' "$1" "$2" "$ours" "$theirs" "$ratio" "$3"
  printf '{"bench":"rpc","case":"%s","unit":"%s","skep":%s,"peer":%s,"peer_name":"%s","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$ours" "$theirs" "${4:-gRPC C++}" "$ratio" "${3:-null}" >>"$folder/json"
}

printf '%-42s %-22s %10s %10s %7s  %s\n' case unit skep peer ratio aim
for name in unary_1_connection unary_1_connection_64_at_once unary_100_connections; do
  row "$name.per_core" "calls/s per core" 1.5
  row "$name.rate" "calls/s" ""
  row "$name.p50" us ""
  row "$name.p99" us ""
done
row unary_client "calls/s per client core" 1.5
row full_handshakes "handshakes/s per core" ""
row resumed_handshakes "handshakes/s per core" ""
for name in sign verify x25519; do row "crypto_$name" "operations/s per core" "" OpenSSL; done
row idle_connection bytes 4
if $http; then
  for path in ping version; do
    for connections in 1 100; do
      row "http_${path}_${connections}_connections.per_core" "requests/s per core" "" "stock dockerd"
      row "http_${path}_${connections}_connections.rate" "requests/s" "" "stock dockerd"
    done
  done
fi
cat "$folder/json"
