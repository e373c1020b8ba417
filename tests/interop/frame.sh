#!/bin/bash
# The frame of skepd: three processes with no more rights than they need, kept alive, ended in order.
. "$(dirname "$0")/../support/lab.sh"
lab_needs socat docker
[[ -x ${SKEP_BUILD:-}/skepd ]] || fail "SKEP_BUILD names no build with skepd in it"
lab_up 1
data=$LAB/h1/data
log=$LAB/h1/skepd.log

mkdir -m 755 "$data"
echo '{"labels": ["rack=1"]}' >"$LAB/h1/daemon.json"

# skepd with the options that dockerd's test harnesses give, a descriptor that somebody left open, and
# a service manager that listens.
echo left >"$LAB/left-open"
skepd_start()
{
  : >"$log"
  start h1 skepd env NOTIFY_SOCKET="$LAB/h1/notify" bash -c "exec 9<$LAB/left-open; exec \"\$@\"" - \
    "$SKEP_BUILD/skepd" --data-root "$data" --exec-root "$LAB/h1/exec" \
    --pidfile "$LAB/h1/skepd.pid" --host "unix://$LAB/h1/skep.sock" \
    --config-file "$LAB/h1/daemon.json" --storage-driver overlay2 --userland-proxy=false "$@"
}
ready() { grep -q 'skepd is ready' "$log"; }
node_pid() { pid_of h1 skepd; }

# helper NAME: the process id of the manager or the resolver. (Not each look at the children of a
# process shows them all: who needs one takes `the`.)
helper()
{
  local pid node; node=$(node_pid) || return 1
  for pid in $(<"/proc/$node/task/$node/children"); do
    if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "skepd: $1" ]]; then echo "$pid"; return; fi
  done
  return 1
}
# the NAME: as helper, of one that runs or is about to.
the()
{
  local deadline=$((SECONDS + 60))
  until helper "$1"; do
    ((SECONDS < deadline)) || fail "no $1 runs"
    sleep 0.1
  done
}
# up NAME: it has given up its rights and serves.
up() { grep -q "is ready role=$1" "$log"; }
status_line() { sed -n "s/^$2:\t//p" "/proc/$1/status" | tr '\t' ' '; }

step "it starts"
socat -u "UNIX-RECV:$LAB/h1/notify" "CREATE:$LAB/h1/notified" &
eventually 60 test -S "$LAB/h1/notify"
skepd_start
eventually 60 ready
eventually 60 grep -q READY=1 "$LAB/h1/notified"
grep -q 'storage-driver has no effect' "$log" || fail "no warning for an option without effect"
same 700 "$(stat -c %a "$data")" "mode of the data folder"
same 660 "$(stat -c %a "$LAB/h1/skep.sock")" "mode of the API socket"
same "$(on h1 cat "$LAB/h1/skepd.pid")" "$(status_line "$(node_pid)" NSpid | cut -d' ' -f2)" "pid file"

step "a manager process comes with the swarm"
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
eventually 60 up manager
eventually 60 up resolver

step "manager and resolver hold no rights"
for role in manager resolver; do
  pid=$(the $role)
  user=$(status_line "$pid" Uid)
  [[ $user != *' 0'* && $user != 0* ]] || fail "$role runs as root: $user"
  for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    same 0000000000000000 "$(status_line "$pid" $set)" "$set of the $role"
  done
  same 1 "$(status_line "$pid" NoNewPrivs)" "NoNewPrivs of the $role"
  same 2 "$(status_line "$pid" Seccomp)" "Seccomp of the $role"
  same 0 "$(stat -c %u "/proc/$pid/mem")" "owner of /proc/PID/mem of the $role (not dumpable)"
  same "skepd: $role" "$(tr -d '\0' <"/proc/$pid/cmdline")" "title of the $role"
done
manager=$(the manager) resolver=$(the resolver)
[[ $(status_line "$manager" Uid) != $(status_line "$resolver" Uid) ]] ||
  fail "manager and resolver are the same user"

step "no descriptor is inherited but the channel"
# (A descriptor may be gone before its name is read.)
descriptors() { find "/proc/$1/fd" -type l "${@:2}" -printf '%l\n' 2>/dev/null || true; }
for pid in $(node_pid) "$manager" "$resolver"; do
  [[ $(descriptors "$pid") == *socket:* ]] || fail "process $pid shows no descriptors"
  [[ $(descriptors "$pid") != *left-open* ]] || fail "process $pid inherited a descriptor"
done
# Its own size (statm) is what the care of its heap reads: opened before it can open nothing more.
unexpected=$(descriptors "$resolver" ! -name '[012]' |
  grep -Ev '^(socket|pipe):|^anon_inode:\[(eventpoll|eventfd)\]|^/proc/[0-9]+/statm$' || true)
same '' "$unexpected" "descriptors of the resolver"

step "the manager holds the cluster's socket, which the node process bound"
sockets() { descriptors "$1" | grep '^socket:' | sort; }
bound=$(awk '$2 == "00000000:0949" { print "socket:[" $10 "]" }' "/proc/$(node_pid)/net/tcp")
# A socket that is bound and does not listen is not in the table: then they share it all the same.
shared=$(comm -12 <(sockets "$(node_pid)") <(sockets "$manager"))
[[ -n $shared && ( -z $bound || $shared == *"$bound"* ) ]] || fail "no socket in common"

step "each process killed comes back, later each time; the others stay"
for role in manager resolver; do
  other=$([[ $role == manager ]] && echo resolver || echo manager)
  node=$(node_pid) kept=$(the "$other") exact=yes
  for wait_ms in 100 200 400; do
    old=$(the $role)
    # Who lived half a minute begins anew, as it comes where all of this takes so long.
    ((wait_ms == 100 || $(ps -o etimes= -p "$old") < 20)) || exact=''
    : >"$log"
    kill -KILL "$old"
    back() { local now; now=$(helper "$role") && [[ $now != "$old" ]] && up "$role"; }
    eventually 60 back
    grep -q "role=$role wait_ms=${exact:+$wait_ms\$}" "$log" || fail "$role did not wait $wait_ms ms"
  done
  same "$node" "$(node_pid)" "the node process"
  same "$kept" "$(the "$other")" "the $other"
done

step "SIGHUP reads the configuration again"
: >"$log"
echo '{"labels": ["rack=2"], "log-level": "debug"}' >"$LAB/h1/daemon.json"
signal h1 skepd HUP
eventually 60 grep -q 'configuration was read again changed=yes' "$log"
echo '{"labels": ["rack=2"], "no-such-key": 1}' >"$LAB/h1/daemon.json"
signal h1 skepd HUP
eventually 60 grep -q "was not taken over.*no-such-key" "$log"
echo '{}' >"$LAB/h1/daemon.json"

step "a second daemon on the same files is refused"
refused 'another skepd uses|runs already' on h1 "$SKEP_BUILD/skepd" --data-root "$data" \
  --exec-root "$LAB/h1/exec2" --pidfile "$LAB/h1/other.pid" --host "unix://$LAB/h1/other.sock"
[[ ! -e $LAB/h1/other.pid && ! -e $LAB/h1/other.sock ]] || fail "the second daemon left files"
refused 'served by another|runs already' on h1 "$SKEP_BUILD/skepd" --data-root "$LAB/h1/data2" \
  --exec-root "$LAB/h1/exec2" --pidfile "$LAB/h1/skepd.pid" --host "unix://$LAB/h1/other.sock"
refused 'another skepd uses .*/exec' on h1 "$SKEP_BUILD/skepd" --data-root "$LAB/h1/data3" \
  --exec-root "$LAB/h1/exec" --pidfile "$LAB/h1/other.pid" --host "unix://$LAB/h1/other.sock"

step "wrong command lines are refused"
refused 'seccomp-profile /nosuch: No such file' on h1 "$SKEP_BUILD/skepd" --data-root "$LAB/h1/data3" \
  --exec-root "$LAB/h1/exec3" --pidfile "$LAB/h1/other.pid" --seccomp-profile /nosuch
refused 'unknown flag: --nonsense' on h1 "$SKEP_BUILD/skepd" --nonsense
refused 'userns-remap is not supported' on h1 "$SKEP_BUILD/skepd" --userns-remap=default

step "when the node process dies, nobody is left; a new one starts over what it left behind"
manager=$(the manager) resolver=$(the resolver)
kill9 h1 skepd
eventually 60 gone "$manager"
eventually 60 gone "$resolver"
[[ -e $LAB/h1/skepd.pid && -S $LAB/h1/skep.sock ]] || fail "a crash should leave its files"
skepd_start
eventually 60 ready

step "SIGTERM ends all of it in order"
eventually 60 up manager
eventually 60 up resolver
manager=$(the manager) resolver=$(the resolver)
stop h1 skepd
same 0 "$(<"$LAB/h1/skepd.exit")" "exit status"
gone "$manager" || fail "the manager is left"
gone "$resolver" || fail "the resolver is left"
[[ ! -e $LAB/h1/skepd.pid ]] || fail "the pid file is left"
[[ ! -e $LAB/h1/skep.sock ]] || fail "the socket is left"
[[ $(grep -o 'process ended role=[a-z]*' "$log" | tr '\n' ' ') == \
  'process ended role=manager process ended role=resolver ' ]] || fail "not in order"
eventually 60 grep -q STOPPING=1 "$LAB/h1/notified"

step "a disk that is almost full is told of"
mkdir "$LAB/h1/small"
on h1 mount -t tmpfs -o size=32m,mode=700 small "$LAB/h1/small"
start h1 full "$SKEP_BUILD/skepd" --data-root "$LAB/h1/small" --exec-root "$LAB/h1/exec4" \
  --pidfile "$LAB/h1/full.pid" --host "unix://$LAB/h1/full.sock" --config-file /dev/null
told() { "$SKEP_BUILD/skep" -H "unix://$LAB/h1/full.sock" info --format '{{.Warnings}}' | has 'almost full: [0-9]* MB are left'; }
eventually 60 told
stop h1 full
