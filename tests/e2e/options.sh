#!/bin/bash
# The effect of every option that skepd's help names, and of every reload: an option that is new there and shown
# nowhere fails this test. (What is refused or without effect is walked by the unit tests, from the same table.)
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox jq curl docker-init
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }
skepd=$SKEP_BUILD/skepd
log=$LAB/h1/skepd.log
here=$(dirname "$0")
declare -A shown reloaded

# effect FLAG... WANTED GOT: these options have it.
effect()
{
  local flags=("${@:1:$#-2}") flag
  same "${@: -2:1}" "${@: -1}" "the effect of ${flags[*]}"
  for flag in "${flags[@]}"; do shown[$flag]=1; done
}
# elsewhere SCRIPT FLAG...: that script shows their effects, and gives them.
elsewhere()
{
  local flag
  for flag in "${@:2}"; do
    has "$flag" <"$here/$1" || fail "$1 does not give $flag"
    shown[$flag]=1
  done
}
elsewhere tls.sh tls tlsverify tlscacert tlscert tlskey
elsewhere ipv6_ports.sh userland-proxy
elsewhere runtimes.sh default-runtime runtimes
shown[add-runtime]=1
reloaded[default-runtime]=1 reloaded[add-runtime]=1
elsewhere daemon.sh insecure-registries max-concurrent-downloads
shown[insecure-registry]=1
reloaded[insecure-registry]=1 reloaded[max-concurrent-downloads]=1
elsewhere images.sh registry-mirrors
shown[registry-mirror]=1 reloaded[registry-mirror]=1

step "what is instead of serving"
effect help yes "$("$skepd" --help | has '--data-root' && echo yes)"
effect version "skepd version" "$("$skepd" --version | cut -d' ' -f1,2)"
effect validate "configuration OK" "$("$skepd" --validate --config-file /dev/null)"

step "a life with all that a flag can say"
on h1 ip addr add 10.88.0.1/24 dev eth0
cp "$(command -v docker-init)" "$LAB/own-init"
echo >>"$LAB/own-init"
cat >"$LAB/seccomp.json" <<'END'
{"defaultAction": "SCMP_ACT_ALLOW",
 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
END
second=$LAB/h1/second.sock
skep_start h1 --host "unix://$second" --group nogroup --data-root "$LAB/h1/skep" --exec-root "$LAB/h1/exec" \
  --pidfile "$LAB/h1/own.pid" --log-format json --label colour=green --node-generic-resource gpu=2 \
  --default-address-pool base=10.45.0.0/16,size=26 --swarm-default-advertise-addr 10.88.0.1 \
  --metrics-addr 127.0.0.1:9323 --init --init-path "$LAB/own-init" --exec-opt native.cgroupdriver=cgroupfs \
  --cgroup-parent /others --seccomp-profile "$LAB/seccomp.json" --dns 10.9.8.7 --dns-opt timeout:3 \
  --dns-search lab.example --default-shm-size 8m --default-ulimit nofile=500:600 --log-driver local \
  --log-opt max-size=1m --no-new-privileges --default-cgroupns-mode host --default-ipc-mode shareable \
  --bip 10.44.0.1/24 --mtu 1400
effect host OK "$(curl -s --unix-socket "$second" http://x/_ping)"
effect group nogroup "$(stat -c %G "$second")"
effect data-root "$LAB/h1/skep yes" "$(docker info --format '{{.DockerRootDir}}') $([[ -d $LAB/h1/skep/volumes ]] && echo yes)"
effect exec-root yes "$([[ -d $LAB/h1/exec/runtime ]] && echo yes)"
effect pidfile skepd "$(on h1 cat "/proc/$(<"$LAB/h1/own.pid")/comm")"
effect log-format 'skepd is ready' "$(jq -r 'select(.msg == "skepd is ready").msg' "$log" | tail -n 1)"
effect label '[colour=green]' "$(docker info --format '{{.Labels}}')"
effect metrics-addr 200 "$(on h1 curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9323/metrics)"
effect exec-opt cgroupfs "$(docker info --format '{{.CgroupDriver}}')"
refused 'native.cgroupdriver=systemd' "$skepd" --validate --config-file /dev/null --exec-opt native.cgroupdriver=systemd
docker network create pooled >/dev/null
effect default-address-pool 10.45.0.0/26 "$(docker network inspect pooled --format '{{(index .IPAM.Config 0).Subnet}}')"

docker run -d --name one "$LAB_IMAGE" sleep 1000 >/dev/null
inside() { docker exec one "$@"; }
shown_by() { docker inspect --format "{{$1}}" one; }
# A container runs before its program is the one it was told to be: the runtime's own comes first.
initiated() { [[ $(inside cat /proc/1/comm) == docker-init ]]; }
eventually 60 initiated
effect init docker-init "$(inside cat /proc/1/comm)"
effect init-path "$(md5sum <"$LAB/own-init")" "$(inside md5sum /sbin/docker-init | sed 's,/sbin/docker-init,-,')"
effect cgroup-parent /others "$(on h1 cat "/proc/$(shown_by .State.Pid)/cgroup" | grep -o '/others' | sort -u)"
effect seccomp-profile 'Operation not permitted' "$(inside mkdir /x 2>&1 | grep -o 'Operation not permitted')"
effect dns dns-opt dns-search 'nameserver 10.9.8.7,search lab.example,options timeout:3,' "$(inside cat /etc/resolv.conf | tr '\n' ,)"
effect default-shm-size 8192 "$(inside df -k /dev/shm | awk 'END {print $2}')"
effect default-ulimit '500 600' "$(inside sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
effect log-driver log-opt 'local 1m' "$(shown_by .HostConfig.LogConfig.Type) $(shown_by '(index .HostConfig.LogConfig.Config "max-size")')"
effect no-new-privileges 1 "$(inside awk '/NoNewPrivs/ {print $2}' /proc/1/status)"
effect default-cgroupns-mode "$(on h1 readlink /proc/self/ns/cgroup)" "$(on h1 readlink "/proc/$(shown_by .State.Pid)/ns/cgroup")"
effect bip '10.44.0.2 10.44.0.1' "$(shown_by .NetworkSettings.IPAddress) $(shown_by .NetworkSettings.Gateway)"
effect mtu 1400 "$(inside cat /sys/class/net/eth0/mtu)"
docker run -d --name shares --ipc container:one "$LAB_IMAGE" sleep 1000 >/dev/null
ipc_of() { on h1 readlink "/proc/$(docker inspect --format '{{.State.Pid}}' "$1")/ns/ipc"; }
effect default-ipc-mode "$(ipc_of one)" "$(ipc_of shares)"
docker swarm init >/dev/null
effect swarm-default-advertise-addr 10.88.0.1 "$(docker info --format '{{.Swarm.NodeAddr}}')"
effect node-generic-resource 'gpu 2' "$(docker node inspect self --format '{{range .Description.Resources.GenericResources}}{{.DiscreteResourceSpec.Kind}} {{.DiscreteResourceSpec.Value}}{{end}}')"
docker swarm leave --force >/dev/null
docker rm -f one shares >/dev/null
docker network rm pooled >/dev/null
skep_stop h1

step "what follows the file while it runs"
echo '{"live-restore": false, "shutdown-timeout": 300}' >"$LAB/daemon.json"
started() { skep_start h1 --config-file "$LAB/daemon.json"; }
# change JQ-EXPRESSION: of the file, and returns when it was read.
change()
{
  local before
  before=$(grep -c 'configuration was read again' "$log") || true
  jq "$1" "$LAB/daemon.json" >"$LAB/changed.json"
  cp "$LAB/changed.json" "$LAB/daemon.json"
  signal h1 skepd HUP
  again() { (($(grep -c 'configuration was read again' "$log") > before)); }
  eventually 60 again
}
# reloads FLAG WANTED GOT
reloads() { effect "$@"; reloaded[$1]=1; }
started
effect config-file false "$(docker info --format '{{.LiveRestoreEnabled}}')"
change '.debug = true'
reloads debug true "$(docker info --format '{{.Debug}}')"
change '.debug = false | .["log-level"] = "debug"'
docker version >/dev/null
debugged() { tail -n +"$1" "$log" | has ' DEBUG '; }
from=$(($(wc -l <"$log") + 1))
eventually 60 eval 'docker run --rm "$LAB_IMAGE" true && debugged "$from"'
change '.["log-level"] = "info"'
from=$(($(wc -l <"$log") + 1))
docker run --rm "$LAB_IMAGE" true
reloads log-level no "$(debugged "$from" && echo yes || echo no)"
change '.labels = ["colour=blue"]'
reloads label '[colour=blue]' "$(docker info --format '{{.Labels}}')"
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
change '.["node-generic-resources"] = ["disk=fast"]'
named() { docker node inspect self --format '{{range .Description.Resources.GenericResources}}{{.NamedResourceSpec.Value}}{{end}}'; }
eventually 60 eval '[[ $(named) == fast ]]'
reloads node-generic-resource fast "$(named)"
docker swarm leave --force >/dev/null
change '.["default-shm-size"] = "4m"'
reloads default-shm-size 4096 "$(docker run --rm "$LAB_IMAGE" df -k /dev/shm | awk 'END {print $2}')"
change 'del(.["default-shm-size"])'
same 65536 "$(docker run --rm "$LAB_IMAGE" df -k /dev/shm | awk 'END {print $2}')" "shared memory when nothing is said"
refused 'Operation not permitted' docker run --rm --security-opt "seccomp=$LAB/seccomp.json" "$LAB_IMAGE" mkdir /x

state_of() { docker inspect --format '{{.State.Running}} {{.State.ExitCode}}' "$1"; }
# It hears no SIGTERM: 300 seconds of patience would outlast this test's own.
docker run -d --name stubborn "$LAB_IMAGE" sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null
# One that asks for another signal and more time gets both.
docker run -d --name polite --stop-signal USR1 --stop-timeout 300 "$LAB_IMAGE" \
  sh -c 'trap "" TERM; trap "exit 7" USR1; echo set; while :; do sleep 1; done' >/dev/null
polite_hears() { docker logs polite | has set; }
eventually 60 polite_hears
change '.["shutdown-timeout"] = 1'
skep_stop h1
started
reloads shutdown-timeout 'false 137' "$(state_of stubborn)"
same 'false 7' "$(state_of polite)" "a container with a signal and a time of its own"
docker rm polite >/dev/null
docker start stubborn >/dev/null
change '.["live-restore"] = true'
skep_stop h1
started
reloads live-restore 'true 0' "$(state_of stubborn)"
docker rm -f stubborn >/dev/null

step "a file that is wrong changes nothing"
echo '{"labels": ["colour=red"], "mtu": 5}' >"$LAB/daemon.json"
signal h1 skepd HUP
told() { grep -q 'configuration is wrong and was not taken over' "$log"; }
eventually 60 told
same '[colour=blue]' "$(docker info --format '{{.Labels}}')" "the labels"
skep_stop h1

step "none was left out"
"$skepd" --help | grep -oE '^ .* --[a-z-]+ .*' | sed -E 's/^ .*--([a-z-]+) +(.*)$/\1 \2/' >"$LAB/options"
while read -r flag line; do
  [[ -n ${shown[$flag]:-} ]] || fail "no test shows the effect of --$flag ($line)"
  [[ $line != *'(reloads)' || -n ${reloaded[$flag]:-} ]] || fail "no test shows a reload of --$flag"
  [[ $line == *'(reloads)' || -z ${reloaded[$flag]:-} ]] || fail "--$flag reloads, and its help does not say so"
done <"$LAB/options"
(($(wc -l <"$LAB/options") > 40)) || fail "the help was not understood"
