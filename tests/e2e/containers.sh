#!/bin/bash
# `docker run` and its kin against skepd: containers that users make, their lives, streams and lists; they
# outlive skepd, and removing them leaves nothing behind.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox script jq
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }
skep_start h1
field() { docker inspect "$1" --format "{{$2}}"; }
I=$LAB_IMAGE

step "run: output, exit codes, arguments"
same hello "$(docker run --rm "$I" echo hello)" "output"
same 'out' "$(docker run --rm "$I" sh -c 'echo out; echo err >&2' 2>"$LAB/err")" "standard output"
same err "$(cat "$LAB/err")" "standard error"
code=0; docker run --rm "$I" sh -c 'exit 7' || code=$?
same 7 "$code" "exit code"
code=0; docker run --rm "$I" nosuchcommand 2>"$LAB/err" || code=$?
same 127 "$code" "exit code of no program"
grep -q 'executable file not found in $PATH' "$LAB/err" || fail "words: $(cat "$LAB/err")"
code=0; docker run --rm "$I" /etc/passwd 2>"$LAB/err" || code=$?
same 126 "$code" "exit code of what is no program"
code=0; docker run --rm "$I" /no/such/command 2>"$LAB/err" || code=$?
same 127 "$code" "exit code of a path to no program"
grep -q 'exec: "/no/such/command": ' "$LAB/err" || fail "words: $(cat "$LAB/err")"
# Other things may be missing: the runtime says what.
code=0; docker run --rm "$I" /etc 2>"$LAB/err" || code=$?
same 126 "$code" "exit code of a folder ($(cat "$LAB/err"))"
code=0; docker run --rm --device /dev/nosuch "$I" true 2>"$LAB/err" || code=$?
same 127 "$code" "exit code of a device that is not there ($(cat "$LAB/err"))"
# What was to be removed is gone when docker is told that it did not start: its name can be had again.
for i in 1 2 3; do refused 'executable file not found' docker run --rm --name again "$I" nosuchcommand; done
docker run --rm --sysctl net.ipv4.nosuch=1 "$I" true 2>"$LAB/err" && fail "a sysctl that the kernel does not have"
grep -q 'net/ipv4/nosuch' "$LAB/err" && ! grep -q 'exec: "true"' "$LAB/err" || fail "words: $(cat "$LAB/err")"
same 'through cat' "$(echo 'through cat' | docker run -i --rm "$I" cat)" "input"
same "$(head -c 3000000 /dev/zero | md5sum | cut -c1-32)" \
  "$(head -c 3000000 /dev/zero | docker run -i --rm "$I" md5sum | cut -c1-32)" "much input"
same 3000000 "$(docker run --rm "$I" head -c 3000000 /dev/zero | wc -c)" "much output"
same '' "$(docker ps -aq)" "containers left"
refused 'No such image|not found|registry|pull' docker run --rm nosuch:1 true

step "run -d: what was asked for is so, and shown"
docker run -d --name c1 -e A=1 -l k=v --memory 64m --cpus 0.5 --pids-limit 50 --hostname ch --user nobody \
  --workdir /tmp --restart unless-stopped --network none "$I" sleep 1000 >/dev/null
same running "$(field c1 .State.Status)" "state"
same 'ch nobody 1 /tmp' "$(docker exec c1 sh -c 'echo $(hostname) $(whoami) $A $PWD')" "inside"
same c1 "$(docker ps --format '{{.Names}}')" "ps"
same c1 "$(docker ps --filter label=k=v --filter name=c --format '{{.Names}}')" "ps with filters"
same '' "$(docker ps --filter label=k=w -q)" "ps with a filter that nothing fits"
same 67108864 "$(field c1 .HostConfig.Memory)" "memory"
same v "$(field c1 '(index .Config.Labels "k")')" "label"
refused 'already in use by container' docker run -d --name c1 "$I" true
refused 'cannot remove a running container' docker rm c1
refused 'No such container' docker inspect --type container nosuch
refused 'Invalid container name' docker create --name 'x y' "$I"

step "run: the rest of its options"
docker run -d --name base --network none -v shared:/base "$I" sleep 1000 >/dev/null
echo lf=1 >"$LAB/labels"
docker run -d --name full --add-host extra:10.1.1.1 --cidfile "$LAB/cid" --cpu-period 50000 --cpu-quota 25000 --cpu-shares 512 --device /dev/zero:/dev/other:r \
  --expose 99 --ipc shareable --label-file "$LAB/labels" --mac-address 02:42:0a:00:00:77 --memory 64m --memory-reservation 32m --memory-swap 128m \
  --oom-score-adj 5 --security-opt no-new-privileges --stop-timeout 3 --volumes-from base --cap-drop NET_RAW --group-add 9 --init --read-only --shm-size 2m \
  --tmpfs /t:size=1m --ulimit nofile=100:200 --cgroupns private --isolation default --dns 10.9.9.9 --dns-search s.test --dns-option ndots:3 "$I" sleep 1000 >/dev/null
same "$(field full .Id)" "$(<"$LAB/cid")" "the file with its id"
# A container runs before its program is the one it was told to be: the runtime's own comes first.
initiated() { docker exec full grep -q '^/sbin/docker-init' /proc/1/cmdline; }
eventually 60 initiated
docker exec full sh -c 'grep -c "^10.1.1.1.extra" /etc/hosts; cat /proc/1/oom_score_adj; test -c /dev/other && ls -d /base; sed -n "s/NoNewPrivs:.//p" /proc/1/status
  cat /sys/class/net/eth0/address; ulimit -n; ulimit -Hn; df -k /dev/shm /t | awk "/shm|tmpfs/ {print \$2}"; grep -v "^#" /etc/resolv.conf; id -G
  touch /no 2>/dev/null || echo read-only; tr "\\0" " " </proc/1/cmdline | grep -c init' >"$LAB/inside"
diff - "$LAB/inside" <<'W' || fail "what the container sees"
1
5
/base
1
02:42:0a:00:00:77
100
200
2048
1024
nameserver 10.9.9.9
search s.test
options ndots:3
0 9
read-only
1
W
same '50000 25000 512 33554432 134217728 map[99/tcp:map[]] 1' "$(field full '.HostConfig.CpuPeriod}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuShares}} {{.HostConfig.MemoryReservation}} {{.HostConfig.MemorySwap}} {{.Config.ExposedPorts}} {{.Config.Labels.lf')" "what is shown"
same 'sleep 1000' "$(docker run --rm --network none --pid container:base "$I" ps | sed -n 's/^ *1 root *//p')" "another one's processes"
same "$(docker exec full readlink /proc/self/ns/ipc)" "$(docker run --rm --network none --ipc container:full "$I" readlink /proc/self/ns/ipc)" "another one's memory"
docker exec full sh -c 'echo shared >/dev/shm/word'
same shared "$(docker run --rm --network none --ipc container:full "$I" cat /dev/shm/word)" "what another one wrote to its memory"
docker run -d --name alone --network none "$I" sleep 1000 >/dev/null
refused "can't join IPC of container $(docker inspect --format '{{.Id}}' alone): non-shareable IPC" \
  docker run --rm --network none --ipc container:alone "$I" true
docker rm -f alone >/dev/null
refused '/dev/shm: No such file' docker run --rm --network none --ipc none "$I" ls -d /dev/shm
same h1 "$(docker run --rm --network none --uts host "$I" hostname)" "the host's name"
same 'Seccomp: 0' "$(docker run --rm --network none --security-opt seccomp=unconfined "$I" grep '^Seccomp:' /proc/self/status | tr -s '\t ' ' ')" "no list of system calls"
powers() { sed -n 's/^CapEff:.0*//p'; }
[[ $(docker run --rm --network none --privileged "$I" cat /proc/self/status | powers) == "$(docker exec --privileged full cat /proc/self/status | powers)" ]] || fail "privileged"
[[ $(docker exec full cat /proc/self/status | powers) != "$(docker exec --privileged full cat /proc/self/status | powers)" ]] || fail "all are privileged"
same '/base 1' "$(docker exec -w /base --env-file "$LAB/labels" full sh -c 'echo $PWD $lf')" "exec in a folder"
for option in '--link base:other' '--cgroup-parent /x' '--device-read-bps /dev/zero:1mb' '--gpus all' '--storage-opt size=1g' '--cpu-rt-runtime 1000'; do
  # shellcheck disable=SC2086 # an option and its value
  refused 'is not supported by Skep' docker create $option "$I" true
done
refused 'invalid --security-opt' docker create --security-opt bogus=1 "$I" true
refused 'Unknown runtime specified nosuch' docker create --runtime nosuch "$I" true
docker rm -f -v base full >/dev/null
docker volume rm shared >/dev/null 2>&1 || true

step "conmon does without the libraries it has no use for"
# Its own one: those of containers that are gone may need a moment to end.
maps=$(on h1 cat "/proc/$(on h1 pgrep -f "^[^ ]*conmon .*$(field c1 .Id)")/maps")
[[ $maps == *libglib* && $maps == *skep-conmon.so* && $maps != */libsystemd* ]] || fail "conmon holds: $maps"

same "walked.example" "$(docker run --rm --network none --domainname walked.example "$I" cat /proc/sys/kernel/domainname)" "a domain name"

step "pause, kill, restart, stop, wait"
docker pause c1 >/dev/null
same 'paused true' "$(field c1 .State.Status) $(field c1 .State.Paused)" "state"
refused 'is paused' docker exec c1 true
docker unpause c1 >/dev/null
pid=$(field c1 .State.Pid)
docker restart -t 0 c1 >/dev/null
[[ $(field c1 .State.Pid) != "$pid" ]] || fail "restarted, and the same process"
docker stop -t 0 c1 >/dev/null
same 'exited 137' "$(field c1 .State.Status) $(field c1 .State.ExitCode)" "stopped"
same 137 "$(docker wait c1)" "wait for one that ended"
# Of each signal there is an event, also of the one that follows when the first was not enough.
signals() { docker events --since "$(($(date +%s) - 600))" --until "$(($(date +%s) + 1))" --filter container=c1 \
  --filter event=kill --format '{{.Actor.Attributes.signal}}' | tail -2 | paste -sd ' '; }
same '15 9' "$(signals)" "signals told"
docker start c1 >/dev/null
docker wait c1 >"$LAB/wait" &
waiting=$!
docker kill c1 >/dev/null
wait "$waiting"
same 137 "$(cat "$LAB/wait")" "wait"
refused 'is not running' docker kill c1
docker rename c1 c2
same /c2 "$(field c2 .Name)" "name"
docker update --memory 96m --memory-swap 192m c2 >/dev/null
same 100663296 "$(field c2 .HostConfig.Memory)" "memory after an update"
refused 'CpuRealtimePeriod is not supported' docker update --cpu-rt-period 1000 c2
docker start c2 >/dev/null
refused . docker update --memory 80m --cpuset-cpus 4000 c2
same '100663296 ' "$(field c2 '.HostConfig.Memory}} {{.HostConfig.CpusetCpus')" "limits after a refused update"
docker rm -f c2 >/dev/null

step "restart policies"
docker run -d --name again --network none --restart on-failure:2 "$I" sh -c 'exit 3' >/dev/null
gave_up() { [[ $(field again '.RestartCount') == 2 && $(field again .State.Status) == exited ]]; }
eventually 60 gave_up
docker start again >/dev/null # counts anew
eventually 60 gave_up
docker rm again >/dev/null

step "health checks: what came of them is kept, and told"
docker run -d --name h1 --health-cmd 'echo "look $((++n))"; test -e /well' --health-interval 200ms \
  --health-retries 2 "$I" sleep 1000 >/dev/null
# On a busy machine two checks may have failed by now.
[[ $(field h1 .State.Health.Status) =~ ^(starting|unhealthy)$ ]] || fail "health at first: $(field h1 .State.Health.Status)"
health() { [[ $(field "$1" .State.Health.Status) == "$2" ]]; }
eventually 60 health h1 unhealthy
streak() { (($(field h1 .State.Health.FailingStreak) >= 6)); }
eventually 60 streak
same 5 "$(docker inspect h1 | jq '.[0].State.Health.Log | length')" "results kept"
same '[1,"look 1\n"]' "$(docker inspect h1 | jq -c '.[0].State.Health.Log[4] | [.ExitCode, .Output]')" "the last one"
docker exec h1 touch /well
eventually 60 health h1 healthy
same 0 "$(field h1 .State.Health.FailingStreak)" "failures in a row"
# Each look is an exec, which has its events.
docker events --since "$(($(date +%s) - 60))" --until "$(($(date +%s) + 1))" --filter container=h1 --format '{{.Action}}' \
  >"$LAB/events"
for action in 'exec_create: /bin/sh -c echo "look' 'exec_start: /bin/sh -c echo "look' exec_die; do
  grep -q "^$action" "$LAB/events" || fail "no event $action of health checks: $(tail -5 "$LAB/events")"
done
docker rm -f h1 >/dev/null
docker run -d --name h2 --health-cmd 'echo early; exec sleep 100' --health-interval 100ms --health-timeout 200ms \
  --health-retries 1 "$I" sleep 1000 >/dev/null
eventually 60 health h2 unhealthy
same '[-1,"Health check exceeded timeout (0.2s)"]' \
  "$(docker inspect h2 | jq -c '.[0].State.Health.Log[0] | [.ExitCode, .Output]')" "one that took too long"
docker rm -f h2 >/dev/null

step "logs"
docker run -d --name talk --network none "$I" sh -c 'for i in 1 2 3; do echo "line $i"; done; echo bad >&2; sleep 1000' >/dev/null
talked() { [[ $(docker logs talk 2>/dev/null | wc -l) == 3 && $(docker logs talk 2>&1 >/dev/null) == bad ]]; }
eventually 60 talked
same 'line 3' "$(docker logs --tail 2 talk 2>/dev/null | tail -1)" "tail"
grep -qE '^[0-9T:.-]+Z line 1$' <<<"$(docker logs -t talk 2>/dev/null)" || fail "no times: $(docker logs -t talk)"
docker run -d --name noted --network none --label a=b --env C=d --log-opt labels=a --log-opt env=C "$I" echo said >/dev/null
noted() { [[ $(docker logs --details noted) == 'C=d,a=b said' ]]; }
eventually 60 noted
docker rm --force noted >/dev/null
docker logs -f talk >"$LAB/followed" 2>&1 &
follower=$!
followed() { [[ $(wc -l <"$LAB/followed") == 4 ]]; }
eventually 60 followed # it has begun: only then may the container go
docker rm -f talk >/dev/null
wait "$follower" || true
same 4 "$(wc -l <"$LAB/followed")" "followed lines"

step "attach: the log first, then what comes"
docker run -d -i --name said --network none "$I" sh -c 'echo before; echo wrong >&2; while read -r line; do echo "got $line"; done' >/dev/null
logged() { [[ $(docker logs said 2>&1 | wc -l) == "$1" ]]; }
eventually 60 logged 2
# attached QUERY: what comes of an attachment, without docker's heads of frames.
attached() { curl -s -N --max-time "$1" -X POST --unix-socket "$LAB/h1/skep.sock" "http://d/v1.41/containers/said/attach?$2" | tr -d '\000-\011\013-\037' || true; }
same $'before\nwrong' "$(attached 60 'logs=1&stdout=1&stderr=1' | sort)" "a log without a stream"
same 'before' "$(attached 60 'logs=1&stdout=1')" "one stream of the log"
python3 - "$LAB/h1/skep.sock" >"$LAB/attached" <<'PY'
import re, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(60)
s.connect(sys.argv[1])
s.sendall(b"POST /v1.41/containers/said/attach?logs=1&stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
          b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
s.sendall(b"one\ntwo\n")
got = b""
while b"got two\n" not in got:
    more = s.recv(4096)
    if not more:
        break
    got += more
body = got.split(b"\r\n\r\n", 1)[1]
print(re.sub(rb"[\x00-\x09\x0b-\x1f]", b"", body).decode(), end="")
PY
same $'before\ngot one\ngot two' "$(sed 's/[^a-z ]*//' "$LAB/attached")" "the log, then what input brought about"
docker rm -f said >/dev/null
docker run -d --name quiet --network none --log-driver none "$I" sleep 1000 >/dev/null
refused 501 curl -sSf -X POST --unix-socket "$LAB/h1/skep.sock" "http://d/v1.41/containers/quiet/attach?logs=1&stdout=1"
docker rm -f quiet >/dev/null

step "terminals: run -it, exec -it, attach and detach"
script -qec "$LAB_DOCKER -H unix://$LAB/h1/skep.sock run -it --rm --network none $I sh -c 'stty size; tty; exit 5'" /dev/null \
  </dev/null >"$LAB/tty" 2>&1 && fail "exit code lost" || same 5 $? "exit code through a terminal"
grep -q /dev/pts/0 "$LAB/tty" || grep -q /dev/console "$LAB/tty" || fail "no terminal: $(cat "$LAB/tty")"
docker run -d --name ex --network none "$I" sleep 1000 >/dev/null
script -qec "$LAB_DOCKER -H unix://$LAB/h1/skep.sock exec -it ex sh -c 'test -t 0 && echo is-a-tty'" /dev/null \
  </dev/null >"$LAB/tty" 2>&1
grep -q is-a-tty "$LAB/tty" || fail "exec -it: $(cat "$LAB/tty")"
code=0; docker exec ex sh -c 'exit 9' || code=$?
same 9 "$code" "exit code of an exec"
code=0; docker exec ex nosuch 2>/dev/null >"$LAB/err" || code=$?
same 126 "$code" "exit code of an exec of nothing"
code=0; docker exec -u nosuch ex true 2>/dev/null >"$LAB/err" || code=$?
same 126 "$code" "exit code of an exec of nobody"
same "root 42" "$(docker exec -u 0 -e X=42 ex sh -c 'echo $(whoami) $X')" "exec with user and environment"
same abc "$(echo abc | docker exec -i ex cat)" "input of an exec"
docker exec -d ex sh -c 'sleep 1; touch /done'
eventually 60 docker exec ex test -e /done
docker rm -f ex >/dev/null

step "volumes, binds, tmpfs"
mkdir "$LAB/bind"; echo outside >"$LAB/bind/file"
same outside "$(docker run --rm --network none -v data:/data -v "$LAB/bind:/b:ro" --tmpfs /t "$I" \
  sh -c 'echo kept >/data/x; mount | grep "tmpfs on /t" >/dev/null && ! touch /b/no 2>/dev/null && cat /b/file')" "mounts"
same kept "$(docker run --rm --network none -v data:/data "$I" cat /data/x)" "kept in a volume"

docker run --rm --network none -v sized:/d "$I" sh -c "head -c 1000000 /dev/zero >/d/f"
size=$(docker system df -v --format "{{range .Volumes}}{{if eq .Name \"sized\"}}{{.Size}}{{end}}{{end}}")
[[ $size == 1*MB ]] || fail "a volume of 1 MB has $size"
docker volume rm sized >/dev/null

step "volumes that are mounts: from the first use to the last"
volumes=$LAB/h1/skep/volumes
mounts() { on h1 grep -c " $volumes/" /proc/self/mountinfo || true; }
refused 'create mem: invalid option: "foo"' docker volume create mem -o foo=bar
refused 'create mem: missing required option: "device"' docker volume create mem -o type=tmpfs
docker volume create mem -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=711,noexec >/dev/null
docker volume create away -o type=none -o device="$LAB/nosuch" -o o=bind >/dev/null
docker volume create shown -o type=none -o device="$LAB/bind" -o o=bind,ro >/dev/null
same tmpfs "$(docker volume inspect mem --format '{{.Options.type}}')" "an option"
docker run -d --name one --network none -v mem:/m "$I" sleep 1000 >/dev/null
docker exec one sh -c 'echo together >/m/x'
same together "$(docker run --rm --network none -v mem:/m "$I" cat /m/x)" "one mount for two"
line=$(docker exec one grep ' /m ' /proc/mounts)
[[ $line == 'tmpfs /m tmpfs '*noexec*size=1024k*mode=711* ]] || fail "another mount: $line"
same 1 "$(mounts)" "mounts while it is used"
docker stop -t 0 one >/dev/null
unmounted() { same 0 "$(mounts)" "mounts when nobody uses it"; }
eventually 60 unmounted
docker start one >/dev/null
same '' "$(docker exec one ls /m)" "what was in memory"
docker rm -f one >/dev/null
eventually 60 unmounted
why="error while mounting volume '$volumes/away/_data': failed to mount local volume: mount $LAB/nosuch:$volumes/away/_data, flags: 0x1000: no such file or directory"
refused "$why" docker run --name no --network none -v away:/m "$I" true
refused "$why" docker cp no:/m/x "$LAB/got"
refused "$why" docker create -v away:/bin "$I" true # filled from the image, so mounted already
docker rm no >/dev/null
same 'outside ro' "$(docker run --rm --network none -v shown:/m "$I" sh -c 'cat /m/file | tr "\n" " "; touch /m/x 2>/dev/null || echo ro')" "a bind"
docker volume create strict -o type=tmpfs -o device=tmpfs -o o=noexec >/dev/null
line=$(docker run --rm --network none -v strict:/m:ro "$I" grep ' /m ' /proc/mounts)
[[ $line == *' ro,'*noexec* ]] || fail "a read-only use of a strict mount: $line"
docker create --name still -v shown:/m "$I" true >/dev/null
docker cp still:/m/file "$LAB/got" && same outside "$(cat "$LAB/got")" "a copy out of what is not mounted"
eventually 60 unmounted # as with archives: once the request is over
docker rm still >/dev/null
docker run --rm --network none --mount type=volume,src=opt,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs "$I" \
  grep -q '^tmpfs /m ' /proc/mounts || fail "options of a --mount"
refused 'create bad: invalid option: "foo"' docker run --mount type=volume,src=bad,dst=/m,volume-opt=foo=bar "$I" true
if docker volume prune -f | has '^mem$'; then fail "pruned what is elsewhere"; fi
docker volume rm away shown opt strict >/dev/null
[[ -e $LAB/bind/file ]] || fail "what was mounted went with the volume"

step "skepd goes and comes: containers run on"
docker run -d --name keep --network none --restart always --health-cmd 'echo well' --health-interval 200ms \
  "$I" sleep 1000 >/dev/null
docker run -d --name lost --network none "$I" sleep 1000 >/dev/null
docker run -d --name mounted --network none -v mem:/m "$I" sleep 1000 >/dev/null
docker run -d --name falls --network none -v mem:/m "$I" sleep 1000 >/dev/null
docker exec mounted sh -c 'echo before >/m/x'
falling=$(field falls .State.Pid)
pid=$(field keep .State.Pid)
ending=$(field lost .State.Pid)
eventually 60 health keep healthy
known() { same 'healthy well' "$(docker inspect keep | jq -r '.[0].State.Health | .Status + " " + .Log[0].Output')" "its health"; }
kill9 h1 skepd
on h1 kill -KILL "$ending" "$falling"
skep_start h1
# Its monitor may be slower than skepd.
has_ended() { [[ $(field lost '.State.Status}} {{.State.ExitCode') == 'exited 137' ]]; }
eventually 60 has_ended
same "running $pid" "$(field keep .State.Status) $(field keep .State.Pid)" "one that ran on"
known
same hi "$(docker exec keep echo hi)" "exec after the restart"
skep_stop h1
skep_start h1
known
same "running $pid" "$(field keep .State.Status) $(field keep .State.Pid)" "one that ran on"

same before "$(docker exec mounted cat /m/x)" "a volume's mount after the restart"
docker rm -f falls >/dev/null
same before "$(docker run --rm --network none -v mem:/m "$I" cat /m/x)" "the same mount"
docker rm -f mounted >/dev/null
same 0 "$(mounts)" "mounts after the last"
docker volume rm mem >/dev/null

step "events"
docker rm -f keep lost >/dev/null
docker events --since "$(($(date +%s) - 600))" --until "$(($(date +%s) + 1))" --filter container=keep \
  --format '{{.Action}} {{.Actor.Attributes.image}}' >"$LAB/events"
same "kill $I die $I destroy $I" "$(grep -v exec "$LAB/events" | tail -3 | tr '\n' ' ' | sed 's/ $//')" "events"

step "nothing is left"
same '' "$(docker ps -aq)" "containers"
no_processes() { ! on h1 pgrep -f 'conmon|sleep 1000'; } # a monitor ends after its container
eventually 60 no_processes
same 0 "$(on h1 grep -c "$LAB/h1.*/merged" /proc/self/mountinfo || true)" "mounts"
same 0 "$(find "$LAB/h1" -path '*/layers/*' -maxdepth 6 | wc -l)" "layers"
skep_stop h1
