#!/bin/bash
# The flags that few people give, of the commands for containers: each with what it brings about, or with
# the words it is refused with; by the newest docker command of this machine. SKEP_E2E_ENGINE=stock runs
# the same on a stock engine, to show that the script itself is honest.
# ctest-stock: TIMEOUT 1800
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft jq script
lab_commands
lab_up 1
I=$LAB_IMAGE
engines h1
field() { d h1 inspect "$1" --format "{{$2}}"; }
once() { d h1 run --rm --network none "$@"; }

step "run: streams, variables, terminals"
same out "$(once --attach stdout "$I" sh -c 'echo out; echo err >&2' 2>&1)" "one stream"
printf 'A=1\n# a remark\nB=two words\n' >"$LAB/env"
same '1 two words' "$(once --env-file "$LAB/env" "$I" sh -c 'echo $A $B')" "a file of variables"
same yes "$(once --tty "$I" sh -c 'test -t 1 && echo yes' | tr -d '\r')" "a terminal"
d h1 run -d --name c1 --network none "$I" sleep 100000 >/dev/null
same yes "$(d h1 exec --tty c1 sh -c 'test -t 1 && echo yes' | tr -d '\r')" "a terminal of an exec"

step "run and exec: the keys that lead out"
socket=$LAB/h1/$(ours && echo skep || echo docker).sock
running() { [[ $(field "$1" .State.Running) == true ]]; }
detached() # NAME COMMAND...: it goes on once the keys were pressed in its terminal
{
  local name=$1 job; shift
  mkfifo "$LAB/keys.$name"
  script -qec "$*" /dev/null <"$LAB/keys.$name" >"$LAB/seen.$name" 2>&1 &
  job=$!
  exec 8>"$LAB/keys.$name"
  seen() { grep -q begun "$LAB/seen.$1"; }
  eventually 60 seen "$name"
  printf '\001d' >&8
  eventually 60 gone "$job"
  exec 8>&-
  wait "$job" || true
}
detached keys "$LAB_DOCKER" -H "unix://$socket" run -it --name keys --network none --detach-keys ctrl-a,d "$I" sh -c "'echo begun; sleep 100000'"
running keys || fail "it ended with its terminal"
detached more "$LAB_DOCKER" -H "unix://$socket" exec -it --detach-keys ctrl-a,d keys sh -c "'echo begun; sleep 90000'"
goes_on() { [[ $(d h1 top keys) == *'sleep 90000'* ]]; } # its shell may have said that it began, and no more
eventually 60 goes_on

step "run: signals of the command, and of stop"
"$LAB_DOCKER" -H "unix://$socket" run --sig-proxy=false --name deaf --network none "$I" sh -c 'trap "exit 9" TERM; echo begun; while :; do sleep 0.1; done' >"$LAB/deaf" 2>&1 &
job=$!
says() { [[ $(<"$LAB/$1") == *begun* ]]; }
eventually 60 says deaf
# Newer commands want to be told three times.
ends() { kill -TERM "$job"; gone "$job"; }
eventually 60 ends
wait "$job" || true
running deaf || fail "it was given the signal"
d h1 run -d --name heeds --network none --stop-signal INT "$I" sh -c 'trap "exit 5" INT; echo begun; while :; do sleep 0.1; done' >/dev/null
begun() { [[ $(d h1 logs "$1") == begun ]]; }
eventually 60 begun heeds
d h1 stop heeds >/dev/null
same 5 "$(field heeds .State.ExitCode)" "the signal of stop"

step "run: what a group of processes may use"
same '0 0' "$(once --cpuset-cpus 0 --cpuset-mems 0 "$I" sed -n 's/^\(Cpus\|Mems\)_allowed_list:.//p' /proc/self/status | tr '\n' ' ' | sed 's/ $//')" "processors and memory"
refused 'CPUs are not available|[Rr]equested CPUs' once --cpuset-cpus 4000 "$I" true
d h1 run -d --name groups --network none --blkio-weight 300 --memory 64m --memory-swappiness 10 --oom-kill-disable "$I" sleep 100000 >/dev/null 2>"$LAB/warned"
# What the kernel does not have is left out with a warning.
shown() { [[ $(field groups "$2") == "$3" ]] || grep -qi "$1" "$LAB/warned" || fail "$1: $(field groups "$2"), $(<"$LAB/warned")"; }
shown weight .HostConfig.BlkioWeight 300
shown swappiness .HostConfig.MemorySwappiness 10
shown oom .HostConfig.OomKillDisable true
# A device that is no container's by itself: the kernel's log, which may be opened to write.
opens() { once --cap-add MKNOD "$@" "$I" sh -c 'mknod /tmp/k c 1 11 && : >/tmp/k' 2>/dev/null; }
! opens || fail "any device may be opened"
opens --device-cgroup-rule 'c 1:11 w' || fail "the rule for a device"
for_windows='[Ww]indows|is not supported by Skep' # the command itself refuses them
refused "$for_windows" once --cpu-count 1 "$I" true
refused "$for_windows" once --cpu-percent 10 "$I" true
refused "$for_windows" once --io-maxbandwidth 1m "$I" true
refused "$for_windows" once --io-maxiops 10 "$I" true
if ours; then
  refused 'CpuRealtimePeriod .*is not supported by Skep' once --cpu-rt-period 10000 "$I" true
  refused 'CpuRealtimeRuntime .*is not supported by Skep' once --cpu-rt-runtime 1000 "$I" true
  refused 'BlkioWeightDevice .*is not supported by Skep' once --blkio-weight-device /dev/zero:10 "$I" true
  refused 'BlkioDeviceReadBps .*is not supported by Skep' once --device-read-bps /dev/zero:1mb "$I" true
  refused 'BlkioDeviceReadIOps .*is not supported by Skep' once --device-read-iops /dev/zero:10 "$I" true
  refused 'BlkioDeviceWriteBps .*is not supported by Skep' once --device-write-bps /dev/zero:1mb "$I" true
  refused 'BlkioDeviceWriteIOps .*is not supported by Skep' once --device-write-iops /dev/zero:10 "$I" true
  refused 'CgroupParent .*is not supported by Skep' once --cgroup-parent /x "$I" true
  refused 'StorageOpt .*is not supported by Skep' once --storage-opt size=1g "$I" true
  refused 'Links .*is not supported by Skep' d h1 run --rm --link c1:other "$I" true
  refused 'DeviceRequests .*is not supported by Skep' once --gpus all "$I" true
else
  # The lab's folder is no file system with quotas, and there is no graphics card.
  refused 'storage-opt|--storage-opt' once --storage-opt size=1g "$I" true
  refused 'could not select device driver' once --gpus all "$I" true
fi

step "run: checks of health"
d h1 run -d --name checked --network none --health-cmd true --health-interval 1s --health-start-period 7s "$I" sleep 100000 >/dev/null
same '["CMD-SHELL","true"] 7s' "$(field checked 'json .Config.Healthcheck.Test}} {{.Config.Healthcheck.StartPeriod')" "a check"
d h1 run -d --name unchecked --network none --no-healthcheck "$I" sleep 100000 >/dev/null
same '[NONE]' "$(field unchecked .Config.Healthcheck.Test)" "no check"
if ours && "$LAB_DOCKER" run --help | has ' --health-start-interval '; then
  # Looked at once an hour it would not be healthy for an hour.
  d h1 run -d --name early --network none --health-cmd true --health-interval 1h --health-start-period 2h --health-start-interval 200ms "$I" sleep 100000 >/dev/null
  healthy() { [[ $(field early .State.Health.Status) == healthy ]]; }
  eventually 60 healthy
fi

step "run: images, ports, volumes, users"
case $(uname -m) in x86_64) here=amd64 other=arm64 ;; *) here=arm64 other=amd64 ;; esac
same here "$(once --platform "linux/$here" "$I" echo here)" "this platform"
[[ $here != amd64 ]] || same v3 "$(once --platform linux/amd64/v3 "$I" echo v3)" "a later variant"
refused 'platform|No such image|not found|[Pp]ull|manifest|lookup' once --platform "linux/$other" "$I" true
refused 'No such image' once --pull never nosuch:1 true
refused 'pull|lookup|registry|dial|denied|not found|no basic auth' once --pull always "$I" true
same signed "$(once --disable-content-trust "$I" echo signed)" "signatures"
d h1 run -d --name open --publish-all --expose 80 "$I" sleep 100000 >/dev/null
[[ $(d h1 port open 80/tcp) =~ ^0\.0\.0\.0:[0-9]+ ]] || fail "a port for each that is exposed: $(d h1 port open)"
d h1 run -d --name kept --network none --volume-driver local -v vol:/v --userns host "$I" sleep 100000 >/dev/null
same 'local host' "$(field kept '(index .Mounts 0).Driver}} {{.HostConfig.UsernsMode')" "a volume's driver, and users"
refused nosuch once --pull never --volume-driver nosuch -v other:/v "$I" true
if ours && "$LAB_DOCKER" run --help | has ' --annotation '; then
  d h1 run -d --name noted --network none --annotation a=b "$I" sleep 100000 >/dev/null
  same 'map[a:b]' "$(field noted .HostConfig.Annotations)" "an annotation"
fi

step "ps, logs, stats, inspect"
d h1 exec kept sh -c 'head -c 500000 /dev/zero >/big'
[[ $(d h1 ps --size --filter name=kept --format '{{.Size}}') =~ ^[5-9][0-9][0-9](\.[0-9])?kB\ \(virtual\  ]] || fail "sizes: $(d h1 ps --size --filter name=kept --format '{{.Size}}')"
same 0 "$(d h1 run -d --name untouched "$LAB_IMAGE" sleep 1000 >/dev/null; d h1 inspect --size untouched --format '{{.SizeRw}}')" "the size of a container that changed nothing"
d h1 rm -f untouched >/dev/null
[[ $(d h1 inspect --size kept --format '{{.SizeRw}}') -ge 500000 ]] || fail "the size of a container"
same '' "$(d h1 inspect kept --format '{{with .SizeRw}}{{.}}{{end}}')" "a size nobody asked for"
d h1 run -d --name lines --network none "$I" sh -c 'echo one; sleep 100000' >/dev/null
wrote() { [[ $(d h1 logs lines) == "$1" ]]; }
# What comes in one piece has one time: the first line is in the log before the second is said.
eventually 60 wrote one
d h1 exec lines sh -c 'echo two >/proc/1/fd/1'
eventually 60 wrote $'one\ntwo'
time_of() { d h1 logs --timestamps lines | sed -n "$1s/ .*//p"; }
same two "$(d h1 logs --since "$(time_of 2)" lines)" "lines from a moment on"
same one "$(d h1 logs --until "$(time_of 1)" lines)" "lines up to a moment"
d h1 stop -t 0 checked >/dev/null
listed() { d h1 stats --no-stream --format '{{.Name}}' "$@"; }
# (The command gives each container two seconds, and a busy machine may want more.)
these() { sed -n '/^checked$/p;/^kept$/p' | sort | tr '\n' ' '; }
live() { [[ $(listed | these) == 'kept ' ]]; } # not what does not run
every() { [[ $(listed --all | these) == 'checked kept ' ]]; }
eventually 60 live
eventually 60 every
whole() { [[ $(d h1 stats --no-stream --no-trunc --format '{{.ID}}') == *"$(field kept .Id)"* ]]; }
eventually 60 whole
