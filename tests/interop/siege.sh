#!/bin/bash
# A gRPC server over TLS before crowds of OpenSSL clients: silent sessions, and ten thousand that only
# exist. What crowds cost the users of a manager is siege_api.sh.
. "$(dirname "$0")/../support/lab.sh"
. "$(dirname "$0")/../support/certs.sh"
ours=$SKEP_BUILD/tests/interop/grpc/interop_grpc
[[ -x $ours ]] || skip "needs gRPC C++ (./dev setup installs it)"
command -v openssl >/dev/null || skip "needs openssl"
command -v python3 >/dev/null || skip "needs python3"
crowd=$(dirname "$(realpath "$0")")/siege.py
ulimit -n "$(ulimit -Hn)"
(($(ulimit -n) > 11000)) || skip "needs 11,000 open files"

folder=$(mktemp -d)
pids=()
clean() { local pid; for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"; }
trap clean EXIT
certs_make "$folder"

# server MODE: sets `port` and `server`.
server()
{
  rm -f "$folder/out" "$folder/in"
  mkfifo "$folder/in"
  exec 7<>"$folder/in"
  "$ours" "$1" "$folder" <"$folder/in" >"$folder/out" 7>&- &
  server=$!
  pids+=("$server")
  eventually 60 test -s "$folder/out"
  read -r port <"$folder/out"
}
server_end() { exec 7>&-; wait "$server" || fail "the server did not end well"; }

# crowd_start ARGUMENT...: returns once it stands; crowd_end prints what it said last.
crowd_start()
{
  rm -f "$folder/crowd.out" "$folder/crowd.in"
  mkfifo "$folder/crowd.in"
  exec 8<>"$folder/crowd.in"
  python3 "$crowd" "$@" <"$folder/crowd.in" >"$folder/crowd.out" 7>&- 8>&- &
  crowd_pid=$!
  pids+=("$crowd_pid")
  eventually 550 grep -q standing "$folder/crowd.out"
}
crowd_end() { exec 8>&-; wait "$crowd_pid" || fail "the crowd failed"; tail -1 "$folder/crowd.out"; }

memory() { awk '/^Private_/ { sum += $2 } END { print sum * 1024 }' "/proc/$server/smaps_rollup"; }
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat"; }
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# honest NAME: one round of one client with one call open; keeps its p50 and p99.
honest()
{
  local line
  line=$(echo | timeout 60 "$ours" load "127.0.0.1:$port" "$folder" 1 1 0.7 | tail -1)
  field p50_us <<<"$line" >>"$folder/$1.p50"
  field p99_us <<<"$line" >>"$folder/$1.p99"
}

# (They are closed after nine seconds; a busy machine sees it later.)
step "a thousand silent sessions without certificate: at most 8 KiB each, cheap, closed soon"
server guarded
honest warm
before=$(memory) used=$(ticks)
crowd_start silent "$port" 1000
grown=$(($(memory) - before))
honest beside
exec 8>&-
wait "$crowd_pid" || fail "the crowd failed"
used=$(($(ticks) - used))
read -r _ closed _ seconds < <(tail -1 "$folder/crowd.out")
echo "$grown bytes in all, $used/100 s of processor time in all, $closed closed within $seconds s"
same 1000 "$closed" "closed sessions"
awk "BEGIN { exit !($seconds <= 30) }" || fail "the last was closed after $seconds s"
((grown <= 8192 * 1000)) || fail "$grown bytes for a thousand"
((used <= 600)) || fail "$used ticks of processor time"
server_end

# Resumed ones, which came in by a ticket; those of a full handshake take as much (bench rpc).
step "ten thousand idle connections of workers: at most 20 KiB each, and others are served"
server serve
honest warm
before=$(memory)
crowd_start idle "$port" "$folder" 10000
each=$((($(memory) - before) / 10000))
honest among
echo "$each bytes each; p50 $(median "$folder/among.p50") us among them ($(cat "$folder/crowd.out"))"
((each <= 20480)) || fail "$each bytes each"
crowd_end >/dev/null
server_end
