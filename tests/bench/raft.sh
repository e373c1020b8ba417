#!/bin/bash
# Consensus, ours and etcd's in turns on the same machine: three members over mutual TLS on loopback,
# writes of 256 bytes from one and the same generator to the leader. Rates and latencies are the
# median of ROUNDS rounds; the fail-over is the longest gap
# between two writes around a kill -9 of the leader; the restart is the time from the start of a
# member that holds ENTRIES entries until it takes part.
#
# Prints a table, and one JSON line per row.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/certs.sh

SKEP_BUILD=${SKEP_BUILD:-$PWD/build}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-5}
KILLS=${KILLS:-20}
ENTRIES=${ENTRIES:-1000000}
PROPOSERS=${PROPOSERS:-1 16 128 1024}
PARTS=${PARTS:-rates syncs failover restart}
BENCH=$SKEP_BUILD/tests/bench/raft/bench_raft
for program in etcd etcdctl openssl strace; do
  command -v "$program" >/dev/null || { echo "needs $program (./dev setup installs it)"; exit 1; }
done

folder=$(mktemp -d "${BENCH_FOLDER:-/var/tmp}/skep-raft.XXXXXX") # no tmpfs: syncs must reach a disk
declare -A pids=()
cleanup()
{
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap cleanup EXIT
ulimit -n "$(ulimit -Hn)"
certs=$folder/certs
mkdir "$certs"
certs_make "$certs"
for name in m1 m2 m3; do # a manager's each, also good for the address that etcd's members dial
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -subj "/O=cluster1/OU=swarm-manager/CN=node-$name" -keyout "$certs/$name.key" 2>/dev/null |
    openssl x509 -req -CA "$certs/ca.pem" -CAkey "$certs/ca.key" -CAcreateserial -days 3650 \
      -out "$certs/$name.pem" -extfile <(printf '%s\n' \
      subjectAltName=DNS:swarm-manager,DNS:swarm-ca,IP:127.0.0.1 \
      extendedKeyUsage=serverAuth,clientAuth keyUsage=critical,digitalSignature) 2>/dev/null
done

# The peers of Skep are at 23811.., etcd's clients at 23911.. and its peers at 23921..
ours_at() { echo "127.0.0.1:2381${1#m}"; }
etcd_at() { echo "127.0.0.1:2391${1#m}"; }
etcd_peer_at() { echo "127.0.0.1:2392${1#m}"; }
eventually()
{
  local deadline=$((SECONDS + $1)); shift
  until "$@" 2>/dev/null; do
    ((SECONDS < deadline)) || { echo "not in time: $*" >&2; return 1; }
    sleep 0.02
  done
}

# ---- the two groups ----------------------------------------------------------------------------

member_start()
{
  local who=$1 name=$2 join=''
  if [[ $who == skep ]]; then
    [[ $name == m1 ]] || join=$(ours_at m1)
    # shellcheck disable=SC2086 # absent when empty
    "$BENCH" member "$folder/skep/$name" "$certs" "$name" "$(ours_at "$name")" $join \
      >"$folder/skep/$name.log" 2>&1 &
  else
    etcd --name "$name" --data-dir "$folder/peer/$name" --logger zap --log-level error \
      --listen-client-urls "https://$(etcd_at "$name")" \
      --advertise-client-urls "https://$(etcd_at "$name")" \
      --listen-peer-urls "https://$(etcd_peer_at "$name")" \
      --initial-advertise-peer-urls "https://$(etcd_peer_at "$name")" \
      --initial-cluster "$(for m in m1 m2 m3; do printf '%s=https://%s,' $m "$(etcd_peer_at $m)"; done)" \
      --client-cert-auth --trusted-ca-file "$certs/ca.pem" \
      --cert-file "$certs/$name.pem" --key-file "$certs/$name.key" \
      --peer-client-cert-auth --peer-trusted-ca-file "$certs/ca.pem" \
      --peer-cert-file "$certs/$name.pem" --peer-key-file "$certs/$name.key" \
      --max-request-bytes 2097152 --quota-backend-bytes 8589934592 \
      --auto-compaction-mode revision --auto-compaction-retention 100000 \
      >"$folder/peer/$name.log" 2>&1 &
  fi
  pids[$who.$name]=$!
}

# What it said in its former life is gone, or it would seem to take part before it does.
member_kill() { kill -KILL "${pids[$1.$2]}"; wait "${pids[$1.$2]}" 2>/dev/null || true; unset "pids[$1.$2]"; : >"$folder/$1/$2.log"; }

skep_said() { grep -q "^$2" "$folder/skep/$1.log"; }
etcd_status()
{
  ETCDCTL_API=3 etcdctl --cacert "$certs/ca.pem" --cert "$certs/client.pem" --key "$certs/client.key" \
    --endpoints "https://$(etcd_at "$1")" --dial-timeout 1s --command-timeout 1s -w json endpoint status
}
# Whether the member leads, and whether it takes part.
leads()
{
  if [[ $1 == skep ]]; then
    [[ $(grep -E '^(leading|following)' "$folder/skep/$2.log" | tail -n 1) == leading* ]]
  else
    etcd_status "$2" | jq -e '.[0].Status | .header.member_id == .leader and .leader != null' >/dev/null
  fi
}
takes_part()
{
  if [[ $1 == skep ]]; then
    grep -E '^(leading|following)' "$folder/skep/$2.log" | tail -n 1 | grep -qv 'leader=0 '
  else
    etcd_status "$2" | jq -e '.[0].Status.leader // 0 | . != 0' >/dev/null
  fi
}
find_leader()
{
  local name
  for name in m1 m2 m3; do
    if [[ -n ${pids[$1.$name]:-} ]] && leads "$1" "$name"; then leader=$name; return 0; fi
  done
  return 1
}
address() { if [[ $1 == skep ]]; then ours_at "$2"; else etcd_at "$2"; fi; }

group_start()
{
  local who=$1 name
  mkdir -p "$folder/$who"
  member_start "$who" m1
  [[ $who != skep ]] || eventually 20 skep_said m1 leading
  for name in m2 m3; do
    member_start "$who" "$name"
    [[ $who != skep ]] || eventually 20 takes_part skep "$name"
  done
  eventually 20 find_leader "$who"
  for name in m1 m2 m3; do eventually 20 takes_part "$who" "$name"; done
}
group_stop() { local name; for name in m1 m2 m3; do member_kill "$1" "$name"; done; rm -rf "${folder:?}/$1"; }

# ---- figures ------------------------------------------------------------------------------------

keep() { echo "$3" >>"$folder/$1.$2"; }
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
ticks() { local p sum=0; for p in m1 m2 m3; do sum=$((sum + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/${pids[$1.$p]}/stat"))); done; echo $sum; }
memory() { local p sum=0; for p in m1 m2 m3; do sum=$((sum + $(awk '/^Pss:/ { print $2 }' "/proc/${pids[$1.$p]}/smaps_rollup"))); done; echo $((sum / 3)); }

load() { "$BENCH" load "$(address "$1" "$leader")" "$certs" "$2" "$3" "${4:-}"; }

# rates WHO: one round of every number of proposers.
rates()
{
  local who=$1 n line ticks count
  eventually 20 find_leader "$who"
  load "$who" 16 0.5 >/dev/null # warm
  for n in $PROPOSERS; do
    ticks=$(ticks "$who")
    line=$(load "$who" "$n" "$SECONDS_EACH")
    count=$(field writes <<<"$line")
    keep "proposers_$n.rate" "$who" "$(awk -v n="$count" -v s="$(field seconds <<<"$line")" 'BEGIN { print n / s }')"
    for p in p50 p99 p999; do keep "proposers_$n.$p" "$who" "$(field "${p}_us" <<<"$line")"; done
    keep "proposers_$n.cpu" "$who" "$(awk -v t=$(($(ticks "$who") - ticks)) -v n="$count" 'BEGIN { print t * 10000 / n }')"
  done
}

# syncs WHO: what one entry costs the leader's disk: calls that sync, and bytes written to its files.
# (What the kernel counts as written is no measure: it counts whole folios for each page touched.)
syncs()
{
  local who=$1 n line pid count
  for n in 1 1024; do
    eventually 20 find_leader "$who"
    strace -f -y -qq -e trace=fsync,fdatasync,msync,write,writev,pwrite64,pwritev,pwritev2 \
      -e signal=none -s 0 -o "$folder/syncs" -p "${pids[$who.$leader]}" &
    pid=$!
    eventually 10 grep -q "^TracerPid:.*[1-9]" "/proc/${pids[$who.$leader]}/status"
    line=$(load "$who" "$n" 2)
    kill -INT "$pid"; wait "$pid" 2>/dev/null || true
    count=$(field writes <<<"$line")
    keep "syncs_$n" "$who" "$(awk -v n="$count" '/(fsync|fdatasync|msync)\(/ { s++ } END { print s / n }' "$folder/syncs")"
    keep "written_$n" "$who" "$(awk -v n="$count" -v f="<$folder/" \
      'index($0, f) && /write/ { sum += $NF } END { print sum / n }' "$folder/syncs")"
  done
}

failover()
{
  local who=$1 name line
  eventually 20 find_leader "$who"
  coproc PROBE { exec "$BENCH" probe "$certs" "$(address "$who" m1)" "$(address "$who" m2)" "$(address "$who" m3)"; }
  local pid=$PROBE_PID input=${PROBE[1]}
  read -r line <&"${PROBE[0]}"
  echo >&"$input" # from now on it looks for a gap, and ends with the first write after it
  member_kill "$who" "$leader"
  name=$leader
  read -r line <&"${PROBE[0]}"
  wait "$pid" || true
  keep failover "$who" "$(field gap_ms <<<"$line")"
  member_start "$who" "$name"
  eventually 30 takes_part "$who" "$name"
}

restart()
{
  local who=$1 name begin
  eventually 20 find_leader "$who"
  load "$who" 1024 600 "$ENTRIES" >/dev/null
  keep memory "$who" "$(memory "$who")"
  name=m1
  [[ $leader != m1 ]] || name=m2
  member_kill "$who" "$name"
  begin=$(date +%s%N)
  member_start "$who" "$name"
  eventually 120 takes_part "$who" "$name"
  keep restart "$who" $((($(date +%s%N) - begin) / 1000000))
}

part() { [[ " $PARTS " == *" $1 "* ]]; }
for who in skep peer; do group_start "$who"; done
part rates || ROUNDS=0
part failover || KILLS=0
for ((round = 1; round <= ROUNDS; round++)); do
  echo "round $round of $ROUNDS" >&2
  for who in skep peer; do rates "$who"; done
done
if part syncs; then for who in skep peer; do syncs "$who"; done; fi
for ((kill = 1; kill <= KILLS; kill++)); do
  echo "leader $kill of $KILLS killed" >&2
  for who in skep peer; do failover "$who"; done
done
if part restart; then for who in skep peer; do restart "$who"; done; fi
for who in skep peer; do group_stop "$who"; done

# ---- what came out ------------------------------------------------------------------------------

at() { sort -g "$1" | awk -v q="$2" '{ v[NR] = $1 } END { i = int(NR * q + 0.999999); print v[i < 1 ? 1 : i] }'; }

# row CASE UNIT QUANTILE AIM [FILE]: ratio > 1 is ours better.
row()
{
  local file=${5:-$1} ours theirs ratio small=true
  [[ -e $folder/$file.skep ]] || return 0
  [[ $2 != writes/s ]] || small=false
  ours=$(at "$folder/$file.skep" "$3") theirs=$(at "$folder/$file.peer" "$3")
  ratio=$(awk -v a="$ours" -v b="$theirs" -v small=$small \
    'BEGIN { if (a == 0) a = 0.001; if (b == 0) b = 0.001; printf "%.2f", small == "true" ? b / a : a / b }')
  printf '%-28s %-18s %12.4g %12.4g %8s  %s\n' "$1" "$2" "$ours" "$theirs" "$ratio" "$4"
  printf '{"bench":"raft","case":"%s","unit":"%s","skep":%s,"peer":%s,"peer_name":"etcd","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "$ours" "$theirs" "$ratio" "${4:-null}" >>"$folder/json"
}

printf '%-28s %-18s %12s %12s %8s  %s\n' case unit skep etcd ratio aim
for n in $PROPOSERS; do
  rate_aim='' p99_aim=''
  ((n < 128)) || rate_aim=3 p99_aim=2
  row "proposers_$n.rate" writes/s 0.5 "$rate_aim"
  row "proposers_$n.p50" us 0.5 ''
  row "proposers_$n.p99" us 0.5 "$p99_aim"
  row "proposers_$n.p999" us 0.5 ''
  row "proposers_$n.cpu" "us of 3 members" 0.5 ''
done
row syncs_1 "leader's per entry" 0.5 ''
row syncs_1024 "leader's per entry" 0.5 ''
row written_1 "leader's bytes per entry" 0.5 ''
row written_1024 "leader's bytes per entry" 0.5 ''
row failover.p50 ms 0.5 '' failover
row failover.p99 ms 0.99 '' failover
row restart ms 0.5 ''
row memory "KiB per member" 0.5 ''
cat "$folder/json"
