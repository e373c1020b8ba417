#!/bin/bash
# Commands that are wrong: bad options, missing arguments, unknown names, values that conflict, on a manager, on
# a worker and outside of any swarm. Each row of the table has the exit status and the words that it ends with;
# the docker command and skep both have to. SKEP_E2E_ENGINE=stock runs docker's on stock engines, to show that
# the table itself is honest.
# ctest-stock: TIMEOUT 1800
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft
lab_commands
[[ -x ${SKEP_BUILD:-}/skep ]] || fail "SKEP_BUILD names no build with skep in it"
lab_up 3
I=$LAB_IMAGE

step "a manager, a worker, a node on its own; nothing in them changes by itself"
engines h1 h2 h3
d h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
d h2 swarm join --token "$(d h1 swarm join-token -q worker)" "$(ip_of h1):2377" >/dev/null
for name in taken twin1 twin2; do
  d h1 service create -d --quiet --no-resolve-image --replicas 0 --name $name "$I" sleep 1000 >/dev/null
done
d h1 network create -d overlay --attachable net1 >/dev/null
d h1 network create -d overlay net2 >/dev/null
printf x | d h1 secret create s1 - >/dev/null
printf x | d h1 config create c1 - >/dev/null
d h1 create --name made "$I" true >/dev/null
d h1 run -d --name runs -v used:/v "$I" sleep 100000 >/dev/null
printf 'version: "3.8"\nservices:\n  a: [\n' >"$LAB/bad.yml"
printf 'version: "3.8"\nservices:\n  a:\n    imagee: x\n' >"$LAB/key.yml"
printf 'version: "3.8"\nservices:\n  a:\n    image: busybox:lab\n' >"$LAB/good.yml"
printf 'version: "3.8"\nservices:\n  a:\n    image: busybox:lab\n    networks: [nosuchnet]\nnetworks:\n  nosuchnet: {external: true}\n' >"$LAB/external.yml"

native() { local host=$1; shift; DOCKER_CONFIG=$LAB/docker-config "$SKEP_BUILD/skep" -H "unix://$LAB/$host/skep.sock" "$@"; }
checked=0 differ=0
# wrong BY HOST STATUS PATTERN WORD...
wrong()
{
  local by=$1 host=$2 wanted=$3 pattern=$4 status=0; shift 4
  timeout 60 bash -c "$(declare -f d ours skep stock native)"'; "$@"' _ "$by" "$host" "$@" \
    >"$LAB/out" 2>"$LAB/err" </dev/null || status=$?
  # (docker exec has the words of the runtime in the program's output.)
  if [[ $status != "$wanted" ]] || ! grep -Eiq -e "$pattern" "$LAB/err" "$LAB/out"; then
    echo "$by $*: status $status, wanted $wanted and '$pattern': $(cat "$LAB/out" "$LAB/err")"
    differ=$((differ + 1))
  fi
}
export LAB LAB_DOCKER SKEP_E2E_ENGINE=${SKEP_E2E_ENGINE:-skep}

step "the table"
while IFS='|' read -r role status pattern words; do
  [[ $role == [mwo] ]] || continue
  case $role in m) host=h1 ;; w) host=h2 ;; o) host=h3 ;; esac
  words=${words//IMAGE/$I}
  words=${words//LAB/$LAB}
  read -ra command <<<"$words"
  pattern=${pattern//!/|}
  wrong d "$host" "$status" "$pattern" "${command[@]}"
  ! ours || wrong native "$host" "$status" "$pattern" "${command[@]}"
  checked=$((checked + 1))
done <<'TABLE'
m|1|requires at least 1 argument|service create
m|125|unknown flag: --nosuch|service create --nosuch x
m|125|invalid argument "-1" for "--replicas" flag|service create --replicas -1 IMAGE
m|125|invalid argument "x" for "--replicas" flag|service create --replicas x IMAGE
m|125|invalid string being converted to CIDR: odd|swarm init --default-addr-pool odd
m|125|"--dns-search" flag: a=b is not a valid domain|service create --dns-search a=b IMAGE
m|125|"--host" flag: invalid IP address in add-host: "b"|service create --host a=b IMAGE
m|125|"--add-host" flag: bad format for add-host: "odd"|create --add-host odd IMAGE
m|125|"--sysctl" flag: sysctl 'odd' is not allowed|create --sysctl odd IMAGE
m|125|"--device-cgroup-rule" flag: invalid device cgroup format 'odd'|create --device-cgroup-rule odd IMAGE
m|125|--cgroupns: invalid CGROUP mode|create --cgroupns odd IMAGE
m|125|--pid: invalid PID mode|create --pid odd IMAGE
m|125|invalid pull option: 'odd'|create --pull odd IMAGE
m|125|odd is not a valid mac address|create --mac-address odd IMAGE
m|125|odd is not an absolute path|create --device odd IMAGE
m|125|invalid empty volume spec|create --volume= IMAGE
m|125|no name set for network|create --network= IMAGE
m|125|aliases are only supported for user-defined networks|create --network-alias odd IMAGE
m|125|--health-retries cannot be negative|create --health-retries -1 IMAGE
m|1|unknown mode: nosuch|service create --mode nosuch IMAGE
m|1|replicas can only be used with replicated|service create --mode global --replicas 2 IMAGE
m|1|valid as a DNS name component|service create --no-resolve-image --name bad/name IMAGE
m|1|valid repository.tag!invalid reference format|service create --no-resolve-image BAD:IMAGE:x
m|125|invalid argument "x" for "--limit-cpu" flag|service create --limit-cpu x IMAGE
m|125|invalid argument "1x" for "--limit-memory" flag|service create --limit-memory 1x IMAGE
m|1|invalid memory value 1024: Must be at least 4MiB|service create --no-resolve-image --limit-memory 1k IMAGE
m|1|network nosuch not found!No such network: nosuch|service create --no-resolve-image --network nosuch IMAGE
m|1|secret not found: nosuch|service create --no-resolve-image --secret nosuch IMAGE
m|1|config not found: nosuch|service create --no-resolve-image --config nosuch IMAGE
m|125|"--mount" flag: target is required|service create --mount source=x IMAGE
m|125|"-p, --publish" flag: .*99999|service create --publish published=99999,target=80 IMAGE
m|125|"-p, --publish" flag: invalid publish mode value|service create --publish published=80,target=80,mode=odd IMAGE
m|1|odd|service create --no-resolve-image --endpoint-mode odd IMAGE
m|1|dnsrr|service create --no-resolve-image --endpoint-mode dnsrr -p 80:80 IMAGE
m|1|odd|service create --no-resolve-image --restart-condition odd IMAGE
m|1|odd|service create --no-resolve-image --update-order odd IMAGE
m|125|"--placement-pref" flag: placement preference must be of the format|service create --placement-pref odd IMAGE
m|125|"-l, --label" flag: invalid|service create --label =x IMAGE
m|125|"--host" flag: bad format for add-host|service create --host odd IMAGE
m|125|"--dns" flag: .*odd|service create --dns odd IMAGE
m|125|"--ulimit" flag: invalid ulimit|service create --ulimit odd IMAGE
m|125|"--generic-resource" flag: invalid generic-resource|service create --generic-resource odd IMAGE
m|1|no such file or directory|service create --env-file /nosuch IMAGE
m|1|no-healthcheck conflicts with --health-|service create --no-healthcheck --health-cmd true IMAGE
m|1|name conflicts with an existing object|service create --no-resolve-image --name taken IMAGE
m|1|service nosuch not found!No such service: nosuch|service update -d --force nosuch
m|1|other flags may not be combined with --rollback|service update -d --rollback --image x taken
m|125|"--publish-add" flag: invalid containerPort: odd|service update -d --publish-add odd taken
m|1|network nosuch not found!No such network: nosuch|service update -d --network-rm nosuch taken
m|1|network nosuch not found!No such network: nosuch|service update -d --network-add nosuch taken
m|1|does not have a previous spec|service rollback -d taken
m|1|taken: invalid replicas value x|service scale taken=x
m|1|nosuch: Error.*service.*nosuch|service scale nosuch=2
m|1|invalid scale specifier 'taken'|service scale taken
m|1|service nosuch not found!No such service: nosuch|service rm nosuch
m|1|no such service: nosuch|service ps nosuch
m|125|"-f, --filter" flag: bad format of filter|service ps --filter odd twin1
m|1|invalid filter 'odd'|service ls --filter odd=x
m|1|no such service: nosuch!service nosuch not found|service inspect nosuch
m|1|no such service: twin!service twin not found|service inspect twin
m|1|template parsing error|service inspect --format {{.Nosuch}} twin1
m|1|no such task or service: nosuch!nosuch not found|service logs nosuch
m|1|accepts no arguments|service ls extra
m|1|node nosuch not found!No such node: nosuch|node inspect nosuch
m|1|node nosuch not found!No such node: nosuch|node rm nosuch
m|1|is not down and can't be removed|node rm h2
m|1|is not down and can't be removed!is a cluster manager|node rm h1
m|1|Invalid Availability: "odd"|node update --availability odd h1
m|1|last manager of the swarm|node demote h1
m|0|already a manager|node promote h1
m|1|already part of a swarm|swarm init
m|1|requires (exactly )?1 argument|swarm join
m|1|unknown role odd|swarm join-token odd
m|1|use `--force` to ignore this message|swarm leave
m|1|not locked|swarm unlock
m|1|certificate expiry|swarm update --cert-expiry 1s
m|125|"--external-ca" flag: invalid field|swarm update --external-ca odd
m|1|requires (exactly )?1 argument|network create
m|1|invalid CIDR address: odd|network create -d overlay --subnet odd n9
m|1|every ip-range or gateway must have a corresponding subnet|network create -d overlay --gateway 10.1.1.1 n9
m|1|no matching subnet for gateway|network create -d overlay --subnet 10.9.0.0/24 --gateway 10.8.0.1 n9
m|1|already exists|network create net1
m|1|network nosuch not found!No such network: nosuch|network rm nosuch
m|1|pre-defined network and cannot be removed|network rm bridge
m|1|No such container: nosuch|network connect net1 nosuch
m|1|secret s1 already exists!name conflicts|secret create s1 LAB/good.yml
m|1|no such file or directory|secret create s9 /nosuch
m|1|secret nosuch not found!No such secret: nosuch|secret rm nosuch
m|1|no such file or directory|config create c9 /nosuch
m|1|config nosuch not found!No such config: nosuch|config inspect nosuch
m|1|compose file|stack deploy st
m|1|no such file or directory|stack deploy -c /nosuch st
m|1|did not find expected node content|stack deploy -c LAB/bad.yml st
m|1|imagee|stack deploy -c LAB/key.yml st
m|1|network "nosuchnet" is declared as external, but could not be found|stack deploy -c LAB/external.yml st
m|1|requires at least 1 argument|run
m|125|unknown flag: --nosuch|run --nosuch IMAGE
m|125|Invalid container name \(bad/name\)|run --name bad/name IMAGE
m|125|network nosuch not found!No such network: nosuch|run --network nosuch IMAGE
m|125|net2 not manually attachable|run --network net2 IMAGE
m|125|No such container: nosuch|run --network container:nosuch IMAGE
m|125|Minimum memory limit allowed is 6MB|run --memory 1k IMAGE
m|125|range of CPUs is from!rational number|run --cpus -1 IMAGE
m|125|invalid containerPort: odd|run -p odd IMAGE
m|127|executable file not found in \$PATH|run --rm IMAGE nosuchcommand
m|126|permission denied|run --rm IMAGE /etc/passwd
m|125|unable to find user nosuch|run --rm -u nosuch IMAGE true
m|125|conflicting options: .*--restart|run --rm --restart always IMAGE true
m|1|user specified IP address is supported on user defined networks only|network connect --ip 172.17.0.99 bridge made
m|125|user specified IP address is supported on user defined networks only|run --rm --network host --ip 10.1.1.1 IMAGE true
m|125|Invalid signal: NOSUCH|run --rm --stop-signal NOSUCH IMAGE true
m|125|no such file or directory|run --rm --env-file /nosuch IMAGE
m|1|failed to start containers: nosuch|start nosuch
m|1|is not running|exec made true
m|126|executable file not found in \$PATH|exec runs nosuchcommand
m|1|is running!cannot remove a running container!container is running|rm runs
m|1|failed to rename container named made|rename made runs
m|1|No such container: nosuch|logs nosuch
m|1|No such object: nosuch|inspect nosuch
m|1|map has no entry for key "Nosuch"|inspect --format {{.State.Nosuch}} runs
m|1|map has no entry for key "Nosuch"|inspect --format {{.HostConfig.Nosuch}} runs
m|1|No such container:? ?(path: )?nosuch|cp nosuch:/x /tmp
m|1|No such image: nosuch|rmi nosuch
m|1|image is being used!is using its referenced image|rmi IMAGE
m|1|volume is in use|volume rm used
m|1|no such volume|volume inspect nosuch
w|1|Worker nodes can't be used to view or modify cluster state|service ls
w|1|Worker nodes can't be used to view or modify cluster state|node ls
w|1|Worker nodes can't be used to view or modify cluster state|swarm join-token worker
w|1|Worker nodes can't be used to view or modify cluster state|service create --no-resolve-image IMAGE
w|1|could not fetch unlock key: Error response from daemon: This node is not a swarm manager|swarm unlock-key
w|1|already part of a swarm|swarm init
w|1|not a swarm manager|stack deploy -c LAB/good.yml st
o|1|This node is not a swarm manager|service ls
o|1|This node is not a swarm manager|secret create x LAB/good.yml
o|1|not part of a swarm|swarm leave
o|1|not part of a swarm|swarm unlock
o|1|invalid join token|swarm join --token odd 10.77.0.99:2377
o|1|This node is not a swarm manager|network create -d overlay n9
TABLE
echo "$checked commands"
((differ == 0)) || fail "$differ commands end otherwise"
((checked > 100)) || fail "the table was cut short"

step "nothing of it was done"
same 'taken 0/0,twin1 0/0,twin2 0/0,' "$(d h1 service ls --format '{{.Name}} {{.Replicas}}' | sort | tr '\n' ',')" "services"
same inactive "$(d h3 info --format '{{.Swarm.LocalNodeState}}')" "the node on its own"
