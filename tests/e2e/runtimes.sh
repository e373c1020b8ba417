#!/bin/bash
# Several runtimes on one node: each container has the one it was made with, through restarts and reloads; and
# logs whose older files are compressed, whichever runtime writes them.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun runc umoci busybox jq gzip
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }
log=$LAB/h1/skepd.log

# A runtime of the operator's: crun, which writes down that it was asked.
cat >"$LAB/mine" <<END
#!/bin/sh
echo "\$*" >>$LAB/mine.asked
exec $(command -v crun) "\$@"
END
chmod +x "$LAB/mine"
cat >"$LAB/daemon.json" <<END
{"default-runtime": "crun", "runtimes": {"mine": {"path": "$LAB/mine"}, "gone": {"path": "$LAB/gone"}}}
END
started() { skep_start h1 --config-file "$LAB/daemon.json"; }
started

step "what there is, and which is the default"
same 'crun gone mine runc' "$(docker info --format '{{json .Runtimes}}' | jq -r '[keys[] | select(startswith("io.") | not)] | join(" ")')" "the runtimes"
same "$LAB/mine" "$(docker info --format '{{(index .Runtimes "mine").Path}}')" "where one of them is"
same crun "$(docker info --format '{{.DefaultRuntime}}')" "the default"

step "each container has its own"
for runtime in crun runc mine; do
  docker run -d --name "by-$runtime" --runtime "$runtime" "$LAB_IMAGE" sleep 1000 >/dev/null
done
docker run -d --name plain "$LAB_IMAGE" sleep 1000 >/dev/null
runtime_of() { docker inspect --format '{{.HostConfig.Runtime}}' "$1"; }
same 'crun runc mine crun' "$(runtime_of by-crun) $(runtime_of by-runc) $(runtime_of by-mine) $(runtime_of plain)" "what inspect says"
state=$LAB/h1/exec/runtime/runtime
made() { docker inspect --format '{{.Id}}' "$1"; }
# runc and crun write the state of a container in a file of another name.
[[ -e $state/$(made by-runc)/state.json && ! -e $state/$(made by-runc)/status ]] || fail "runc did not run it"
[[ -e $state/$(made by-crun)/status ]] || fail "crun did not run it"
asked() { grep -c "$1.*$(made by-mine)" "$LAB/mine.asked"; }
asked create >/dev/null || fail "the operator's runtime was not asked"
for name in by-crun by-runc by-mine; do
  same here "$(docker exec "$name" echo here)" "exec in $name"
done
asked exec >/dev/null || fail "an exec went to another runtime"
docker pause by-runc >/dev/null
docker unpause by-runc >/dev/null
docker update --memory 64m --memory-swap 64m by-runc >/dev/null

step "what cannot be"
refused 'Unknown runtime specified other' docker run --runtime other "$LAB_IMAGE" true
refused "container runtime $LAB/gone is not installed" docker run --rm --runtime gone "$LAB_IMAGE" true
refused "specified default runtime 'other' does not exist" "$SKEP_BUILD/skepd" --validate --config-file /dev/null --default-runtime other
refused "runtime 'a' was already defined" "$SKEP_BUILD/skepd" --validate --config-file /dev/null --add-runtime a=/x --add-runtime a=/y

step "a reload changes what new containers get, and what there is to ask for"
jq '.["default-runtime"] = "runc" | del(.runtimes.mine)' "$LAB/daemon.json" >"$LAB/changed.json"
cp "$LAB/changed.json" "$LAB/daemon.json"
signal h1 skepd HUP
default_is() { [[ $(docker info --format '{{.DefaultRuntime}}') == "$1" ]]; }
eventually 60 default_is runc
docker run -d --name later "$LAB_IMAGE" sleep 1000 >/dev/null
same runc "$(runtime_of later)" "the new default"
[[ -e $state/$(made later)/state.json ]] || fail "the new default did not run it"
refused 'Unknown runtime specified mine' docker run --runtime mine "$LAB_IMAGE" true
before=$(asked exec)
same here "$(docker exec by-mine echo here)" "exec in a container whose runtime is no longer listed"
(($(asked exec) > before)) || fail "a container got another runtime by a reload"

step "a daemon that comes again finds each container with its own"
kill9 h1 skepd
started
same 'runc crun' "$(runtime_of by-runc) $(runtime_of by-crun)" "what inspect says after a crash"
before=$(asked exec)
for name in by-crun by-runc by-mine plain later; do
  same here "$(docker exec "$name" echo here)" "exec in $name after a crash"
done
(($(asked exec) > before)) || fail "a container got another runtime by a crash"
docker restart -t 0 by-runc >/dev/null
[[ -e $state/$(made by-runc)/state.json ]] || fail "runc did not run it again"
refused 'Unknown runtime specified mine' docker restart -t 0 by-mine
docker rm -f by-crun by-runc by-mine plain later >/dev/null
same '' "$(ls "$state")" "what the runtimes keep of containers that are gone"

step "older files of a log are compressed, and read with the others"
write_lines='i=0; while read -r n; do while [ $i -lt $n ]; do i=$((i+1)); echo "line $i of some length, so that a thousand of them are more than a file may hold"; done; done'
logged() { docker logs "$@" 2>/dev/null; }
# lines NAME COUNT: has the container write up to this line.
lines() { echo "$2" >&8; eventually 60 has_line "$1" "$2"; }
has_line() { logged --tail 1 "$1" | has "^line $2 of"; }
files_of() { find "$LAB/h1/skep/logs" -name "$(made "$1").log*" -printf '%f\n' | sed "s/$(made "$1").log//" | sort | tr '\n' ' '; }
# drill DRIVER: a container writes 900 lines in several files, and all readers see them all. (How many
# files there are, and which are compressed by now, depends on when skepd looks.)
drill()
{
  local driver=$1 attached follower at pipe=$LAB/pipe-$1
  mkfifo "$pipe"
  docker create -i --name "logs-$driver" --log-driver "$driver" --log-opt max-size=20k --log-opt max-file=8 \
    --log-opt compress=true "$LAB_IMAGE" sh -c "$write_lines" >/dev/null
  docker start -ai "logs-$driver" <"$pipe" >"$LAB/followed-$driver" 2>&1 &
  attached=$!
  exec 8>"$pipe"
  lines "logs-$driver" 1
  docker logs -f "logs-$driver" >"$LAB/logs-$driver" 2>&1 8>&- &
  follower=$!
  packed() { files_of "logs-$driver" | has "\.$1\.gz "; }
  lines "logs-$driver" 400
  eventually 60 packed 1
  lines "logs-$driver" 800
  eventually 60 packed 2
  lines "logs-$driver" 900
  same 900 "$(logged "logs-$driver" | grep -c '^line')" "all lines ($driver)"
  same 'line 101,line 900' "$(logged --tail 800 "logs-$driver" | sed -n '1p;$p' | cut -d' ' -f1,2 | paste -sd,)" "the last 800 ($driver)"
  at=$(logged -t --tail 700 "logs-$driver" | sed -n 1p | cut -d' ' -f1)
  # (Lines that were written at once have one time.)
  logged --since "$at" "logs-$driver" >"$LAB/since-$driver"
  [[ $(wc -l <"$LAB/since-$driver") -lt 900 ]] || fail "everything is since a time in a compressed file ($driver)"
  has '^line 201 of' <"$LAB/since-$driver" || fail "a line of a compressed file is missing since its own time ($driver)"
  # (A file may get older, and another name, while gzip is at it.)
  sound() { gzip -t "$LAB/h1/skep/logs/$(made "logs-$driver")".log.*.gz; }
  eventually 60 sound
  exec 8>&-
  wait "$attached" "$follower" || fail "the followers did not end well ($driver)"
  same 900 "$(grep -c '^line' "$LAB/logs-$driver")" "lines that a follower saw across rotations ($driver)"
  docker rm "logs-$driver" >/dev/null
}
drill json-file &
other=$!
drill local
wait "$other" || fail "the drill of json-file"
same '' "$(ls "$LAB/h1/skep/logs")" "files of logs that are gone"
refused 'compress cannot be true when max-file is less than 2 or max-size is not set' \
  docker create --log-opt compress=true "$LAB_IMAGE" true
refused 'compression cannot be enabled when max file count is 1' \
  docker create --log-driver local --log-opt max-file=1 "$LAB_IMAGE" true

step "the other drivers"
docker run --name silent --log-driver none "$LAB_IMAGE" echo seen >"$LAB/seen"
same seen "$(cat "$LAB/seen")" "what an attached client sees of a container without a log"
refused 'configured logging driver does not support reading' docker logs silent
same '' "$(ls "$LAB/h1/skep/logs")" "files of a container without a log"
for driver in journald syslog gelf fluentd awslogs splunk other; do
  refused "logger: no log driver named '$driver' is registered" docker create --log-driver "$driver" "$LAB_IMAGE" true
done
refused "unknown log opt 'syslog-address' for json-file log driver" docker create --log-opt syslog-address=udp://x "$LAB_IMAGE" true
skep_stop h1
