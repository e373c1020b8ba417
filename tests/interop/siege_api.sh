#!/bin/bash
# A manager's port before crowds without credentials (OpenSSL, at full speed), while a user of its API
# works and a node joins: what rapid resets cost the user, and what connections that say nothing cost
# in memory. With SIEGE_STOCK=1 a stock dockerd is put through the resets too, to compare.
# ctest: RUN_SERIAL 1
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker
command -v python3 >/dev/null || skip "needs python3"
crowd=$(dirname "$(realpath "$0")")/siege.py
ulimit -n "$(ulimit -Hn)"
(($(ulimit -n) > 3000)) || skip "needs 3,000 open files"

# (Not each look at the children of a process shows them all.)
manager_of()
{
  local pid node deadline=$((SECONDS + 60)); node=$(pid_of "$1" skepd)
  while ((SECONDS < deadline)); do
    for pid in $(<"/proc/$node/task/$node/children"); do
      if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "skepd: manager" ]]; then echo "$pid"; return; fi
    done
    sleep 0.1
  done
  fail "no manager on $1"
}
memory() { awk '/^Private_/ { sum += $2 } END { print sum * 1024 }' "/proc/$1/smaps_rollup"; }
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
least() { sort -n "$1" | head -1; }

# crowd_start HOST ARGUMENT...: returns once it stands; crowd_end prints what it said last.
crowd_start()
{
  local host=$1; shift
  rm -f "$LAB/crowd.out" "$LAB/crowd.in"
  mkfifo "$LAB/crowd.in"
  exec 8<>"$LAB/crowd.in"
  on "$host" python3 "$crowd" "$@" <"$LAB/crowd.in" >"$LAB/crowd.out" 8>&- &
  crowd_pid=$!
  eventually 60 grep -q standing "$LAB/crowd.out"
}
crowd_end() { exec 8>&-; wait "$crowd_pid" || fail "the crowd failed"; tail -1 "$LAB/crowd.out"; }

# honest NAME SOCKET: one round of the API's user; keeps its p50 and p99.
honest()
{
  local line
  line=$(python3 "$crowd" api "$2" /v1.41/nodes 0.6)
  field p50_us <<<"$line" >>"$LAB/$1.p50"
  field p99_us <<<"$line" >>"$LAB/$1.p99"
}

# unhurt WHO: the user fares as well beside attackers as can be. What these cost who shares the processors
# with them is a time slice in the worst hundredth, and caches that are cold.
unhurt()
{
  local p50 p99
  p50=$(least "$LAB/$1.0.p50") p99=$(least "$LAB/$1.0.p99")
  ((p99 > 5000 || ($(least "$LAB/$1.1.p99") <= 2 * p99 + 4000 && $(least "$LAB/$1.4.p50") <= 3 * p50 / 2 + 200)))
}

# resets WHO HOST SOCKET: rounds without, with one and with four attackers, in turns. Of the rounds
# the best count, and more are made while none is good: the machine's own noise only ever adds.
resets()
{
  local who=$1 host=$2 socket=$3 attackers round bad=0
  honest warm "$socket"
  for ((round = 0; round < 3 || (round < 15 && bad); round++)); do
    honest "$who.0" "$socket"
    for attackers in 1 4; do
      crowd_start "$host" reset 2377 "$attackers"
      honest "$who.$attackers" "$socket"
      crowd_end >>"$LAB/$who.$attackers.said"
    done
    bad=0
    unhurt "$who" || bad=1
  done
  for attackers in 0 1 4; do
    printf '%s, %s attackers: p50 %s us, p99 %s us%s\n' "$who" "$attackers" \
      "$(least "$LAB/$who.$attackers.p50")" "$(least "$LAB/$who.$attackers.p99")" \
      "$([[ $attackers == 0 ]] || tail -1 "$LAB/$who.$attackers.said" | sed 's/^/; /')"
  done
}

lab_up 3
skep_start h1
skep_start h2
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(skep h1 swarm join-token --quiet worker)
manager=$(manager_of h1) || exit

step "rapid reset: one and four attackers beside a user of the API"
honest warm "$LAB/h1/skep.sock"
before=$(memory "$manager")
resets skep h1 "$LAB/h1/skep.sock"
# (What its requests needed is given back when it has been idle for a while.)
kept() { echo "memory: $(($(memory "$manager") - before)) bytes more"; }
kept_little() { (($(kept | field memory:) <= 1 << 20)) || { kept; false; }; }
eventually 60 kept_little
kept
(($(least "$LAB/skep.0.p99") <= 5000)) || echo "latency is not judged: others keep this machine busy"
unhurt skep || fail "p99 under one attacker, or p50 under four"
# Each that heard why it was cut had at most 200 streams, and the one that went too far.
awk '/over/ { sent += $2; calm += $7; if ($15 > most) most = $15 }
  END { print sent " resets, " calm " connections told to calm down, after at most " most " streams"
        exit !(sent > 2000 && calm >= 4 && most > 0 && most <= 210) }' "$LAB"/skep.[14].said ||
  fail "no attack, or a connection that went on: $(cat "$LAB"/skep.[14].said)"

# The log says so, and does not fill the disk: a line a second for all of them.
lines=$(grep -c 'too many streams reset' "$LAB/h1/skepd.log")
((lines > 0 && lines < 100)) || fail "$lines lines in the log"

if [[ ${SIEGE_STOCK:-} == 1 ]]; then
  step "the same for a stock dockerd"
  stock_start h3
  stock h3 swarm init --advertise-addr "$(ip_of h3)" >/dev/null
  before=$(memory "$(pid_of h3 dockerd)")
  resets stock h3 "$LAB/h3/docker.sock"
  echo "memory: $(($(memory "$(pid_of h3 dockerd)") - before)) bytes more"
fi

step "a thousand TCP connections that say nothing: at most 1 KiB each, closed soon, a node joins"
before=$(memory "$manager")
crowd_start h1 quiet 2377 1000
grown=$(($(memory "$manager") - before))
skep h2 swarm join --token "$token" "$(ip_of h1):2377" >/dev/null
crowd_end >"$LAB/said" # not in a subshell, whose child the crowd is not
said=$(<"$LAB/said")
echo "$grown bytes in all; $said"
same 1000 "$(field closed <<<"$said")" "closed connections"
awk -v s="$(field within <<<"$said")" 'BEGIN { exit !(s <= 30) }' || fail "$said seconds"
((grown <= 1024 * 1000)) || fail "$grown bytes for a thousand"

step "handshakes in haste from one address are limited, and others are served"
said=$(on h1 python3 "$crowd" hasty 2377 600)
echo "$said"
awk '$1 < 100 || $6 != $8 { exit 1 }' <<<"$said" || fail "limits of handshakes: $said"
