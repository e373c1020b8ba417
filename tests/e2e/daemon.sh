#!/bin/bash
# How skepd is started: sockets that a service manager hands over, and options that say what containers and
# networks of the node get where they say nothing themselves.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox python3 jq curl
lab_up 1
skep_image h1
docker() { skep h1 "$@"; }
sock=$LAB/h1/skep.sock

step "a socket from the service manager"
cat >"$LAB/hand-over" <<'END'
# hand-over PATH PROGRAM ARGUMENT...: as systemd starts a daemon whose socket it has opened.
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, 'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())})
END
start h1 skepd python3 "$LAB/hand-over" "$sock" "$SKEP_BUILD/skepd" --host fd:// --data-root "$LAB/h1/skep" \
  --exec-root "$LAB/h1/exec" --config-file /dev/null
eventually 60 skep_settled h1 0
same h1 "$(docker info --format '{{.Name}}')" "who answers at a socket handed over"
skep_stop h1
[[ -S $sock ]] || fail "a socket that is the service manager's was removed"
rm "$sock"
refused 'fd:// without sockets' on h1 "$SKEP_BUILD/skepd" --host fd:// --data-root "$LAB/h1/skep" \
  --exec-root "$LAB/h1/exec" --config-file /dev/null

step "every flag of the dockerd of this machine is known"
unknown_flags()
{
  local flag
  for flag in $(dockerd --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' | grep -oE '[-]-.*'); do
    "$SKEP_BUILD/skepd" --validate --config-file /dev/null "$flag" 2>&1 | grep -q 'unknown flag' && echo "$flag"
  done
  true
}
! command -v dockerd >/dev/null || same '' "$(unknown_flags)" "flags that are not known"

step "what containers and networks get unless they say otherwise"
cat >"$LAB/daemon.json" <<'END'
{"dns": ["10.9.8.7"], "dns-search": ["lab.example"], "dns-opts": ["timeout:3"],
 "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 500, "Hard": 600}},
 "default-shm-size": "8m", "log-driver": "local", "log-opts": {"max-size": "1m", "max-file": "2"},
 "no-new-privileges": true, "default-address-pools": [{"base": "10.45.0.0/16", "size": 26}],
 "bip": "10.44.0.1/24", "mtu": 1400, "insecure-registries": ["registry.lab:5000"], "group": "root"}
END
defaulted() { skep_start h1 --config-file "$LAB/daemon.json" "$@"; }
defaulted
same 'local' "$(docker info --format '{{.LoggingDriver}}')" "the logging driver"
same 'false' "$(docker info --format '{{(index .RegistryConfig.IndexConfigs "registry.lab:5000").Secure}}')" "a registry"
same '660 root root' "$(stat -c '%a %U %G' "$sock")" "the socket"
docker run -d --name plain "$LAB_IMAGE" sleep 1000 >/dev/null
inside() { docker exec "$@"; }
same 'nameserver 10.9.8.7,search lab.example,options timeout:3,' "$(inside plain cat /etc/resolv.conf | tr '\n' ,)" "resolv.conf"
same '500 600' "$(inside plain sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')" "open files"
same 8192 "$(inside plain df -k /dev/shm | awk 'END {print $2}')" "KiB of shared memory"
same 1 "$(inside plain awk '/NoNewPrivs/ {print $2}' /proc/1/status)" "no new privileges"
same 1400 "$(inside plain cat /sys/class/net/eth0/mtu)" "the largest packet"
same '10.44.0.2 10.44.0.1' "$(docker inspect --format '{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}' plain)" "addresses"
same 'local 2 1m 8388608' "$(docker inspect --format '{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-file"}} {{index .HostConfig.LogConfig.Config "max-size"}} {{.HostConfig.ShmSize}}' plain)" "what is shown"
docker run -d --name own --dns 10.1.1.1 --dns-search own.example --ulimit nofile=300:400 --shm-size 4m --log-driver json-file \
  "$LAB_IMAGE" sleep 1000 >/dev/null
same 'nameserver 10.1.1.1,options timeout:3,search own.example,' "$(inside own cat /etc/resolv.conf | sort -s -k1,1 | tr '\n' ,)" "its own resolv.conf"
same "300 400" "$(inside own sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')" "its own limit"
same 'json-file 0 4194304' "$(docker inspect --format '{{.HostConfig.LogConfig.Type}} {{len .HostConfig.LogConfig.Config}} {{.HostConfig.ShmSize}}' own)" "its own log"
docker network create pooled >/dev/null
same 10.45.0.0/26 "$(docker network inspect pooled --format '{{(index .IPAM.Config 0).Subnet}}')" "a network's subnet"

step "a reload: registries without certificates, downloads at once; and what waits for a restart"
cat >"$LAB/registry.py" <<'END'
# A registry that knows every image and never says what it is made of.
import http.server, time
class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "/manifests/" in self.path:
            print("asked", self.path, flush=True)
            time.sleep(1000)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Registry).serve_forever()
END
start h1 registry python3 "$LAB/registry.py"
registry=$(ip_of h1):5000
listens() { on h1 curl -sf "http://$registry/v2/"; }
eventually 60 listens
asked() { [[ $(grep '^asked' "$LAB/h1/registry.log" | sort -u | wc -l) == "$1" ]]; }
# reload JQ-EXPRESSION: changes the file, and returns when it was read.
reload()
{
  local before
  before=$(grep -c 'configuration was read again' "$LAB/h1/skepd.log") || true
  jq "$1" "$LAB/daemon.json" >"$LAB/changed.json"
  cp "$LAB/changed.json" "$LAB/daemon.json"
  signal h1 skepd HUP
  again() { (($(grep -c 'configuration was read again' "$LAB/h1/skepd.log") > before)); }
  eventually 60 again
}
refused '' docker pull "$registry/one:1"
asked 0 || fail "a registry was asked without TLS"
reload ".[\"insecure-registries\"] += [\"$registry\"] | .[\"max-concurrent-downloads\"] = 1"
same false "$(docker info --format "{{(index .RegistryConfig.IndexConfigs \"$registry\").Secure}}")" "the registry"
pulls=()
for name in one two; do
  DOCKER_CONFIG=$LAB/docker-config "$LAB_DOCKER" --host "unix://$sock" pull "$registry/$name:1" >/dev/null 2>&1 &
  pulls+=($!)
done
eventually 60 asked 1
reload '.["max-concurrent-downloads"] = 2'
eventually 60 asked 2
kill "${pulls[@]}"
reload '.mtu = 1300'
eventually 60 grep -q 'mtu changes only with a restart' "$LAB/h1/skepd.log"
reload '.mtu = 1400'
stop h1 registry

step "tasks get the same"
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
docker service create --quiet --detach --no-resolve-image --stop-grace-period 1s --name task "$LAB_IMAGE" sleep 1001 >/dev/null
tasks() { docker ps -q --filter label=com.docker.swarm.service.name=task; }
running() { [[ -n $(tasks) ]]; }
eventually 60 running
task=$(tasks)
same '500 600 8192' "$(inside "$task" sh -c 'echo $(ulimit -Sn) $(ulimit -Hn) $(df -k /dev/shm | awk "END {print \$2}")')" "its limits"
same 'search lab.example,options timeout:3,nameserver 127.0.0.11,options ndots:0,' "$(inside "$task" cat /etc/resolv.conf | tr '\n' ,)" "its resolv.conf"
same 'local 1m' "$(docker inspect --format '{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-size"}}' "$task")" "its log"
docker swarm leave --force >/dev/null

step "the bridge changes at a start when nobody is on it"
docker rm -f plain own >/dev/null
skep_stop h1
sed -i 's,10.44.0.1/24,10.43.0.1/24,' "$LAB/daemon.json"
defaulted
same '10.43.0.0/24 10.43.0.1' "$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).Gateway}}')" "the bridge"

step "a manager takes commands from the moment its API is there, and is active"
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
docker service create --detach --quiet --name web --replicas 0 "$LAB_IMAGE" sleep 1000 >/dev/null
pinged() { curl -fsS --unix-socket "$sock" http://skep/_ping >/dev/null 2>&1; }
for round in 1 2 3 4 5; do
  skep_stop h1
  start h1 skepd "$SKEP_BUILD/skepd" --host "unix://$sock" --data-root "$LAB/h1/skep" --exec-root "$LAB/h1/exec" \
    --pidfile "$LAB/h1/skepd.pid" --config-file /dev/null
  eventually 60 pinged
  in_sequence docker service scale --detach "web=$((round % 2))" >/dev/null || fail "round $round: the manager takes no commands yet"
  same "active true" "$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')" "the node"
done
skep_stop h1
