#!/bin/bash
# The flags that few people give, of the commands for swarms, nodes, networks, services and stacks: each
# with what it brings about, or with the words it is refused with; by the newest docker command of this
# machine against two nodes. SKEP_E2E_ENGINE=stock tries the same on stock engines, as far as they get on this
# kernel.
# ctest-stock: TIMEOUT 1800 COST 60
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft jq
lab_commands
lab_up 2
I=$LAB_IMAGE

c() { d h1 service "$@"; }
create() { c create --detach --quiet --no-resolve-image "$@"; }
update() { in_sequence c update --detach --quiet --no-resolve-image "$@" >/dev/null; }
spec() { c inspect "$1" | jq -c ".[0].Spec.$2"; }
net() { d h1 network inspect "$1" --format "{{$2}}"; }
host_of() { d h1 node ls --filter "name=$1" -q; }
container() { d h1 ps -q --no-trunc --filter "label=com.docker.swarm.service.name=$1"; }
replicas() { [[ $(c ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
rejected() { [[ $(c ps "$1" --no-trunc --format '{{.CurrentState}} {{.Error}}') =~ $2 ]]; }
# knows COMMAND FLAG: this docker command has the flag, and the engine below it what it asks for: each of
# the flags looked for so came with a later API than stock's 1.41.
# shellcheck disable=SC2086 # the words of a command
knows() { ours && "$LAB_DOCKER" $1 --help | has " --$2 "; }

step "two nodes; the root is made anew, and certificates live for as long as is said with it"
! ours || skep_image h1 h2
engine h1 --node-generic-resource gpu=2
engine h2
ours || stock_image h1 h2
d h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
root=$(d h1 swarm ca)
same '' "$(d h1 swarm ca --rotate --cert-expiry 50h --quiet)" "a quiet rotation"
same 50h0m0s "$(d h1 info --format '{{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}}')" "the age"
[[ $(d h1 swarm ca) != "$root" ]] || fail "the same root"
d h2 swarm join --token "$(d h1 swarm join-token -q worker)" "$(ip_of h1):2377" >/dev/null

step "node update --role"
refused 'invalid Role' d h1 node update --role chief h2
eventually 60 d h1 node update --role manager h2
manages() { [[ $(d h2 info --format '{{.Swarm.ControlAvailable}}') == "$1" ]]; }
eventually 60 manages true
eventually 60 d h1 node update --role worker h2
eventually 60 manages false
leads() { [[ $(d h1 node ls --format '{{.ManagerStatus}}' | tr -d '\n') == Leader ]]; }
eventually 60 leads

step "network create: the addresses' manager and its options, a network of the swarm's on each node's own"
d h1 network create -d bridge --ipam-driver default --ipam-opt purpose=test plain >/dev/null
same 'default map[purpose:test]' "$(net plain '.IPAM.Driver}} {{.IPAM.Options')" "the addresses' manager"
refused nosuch d h1 network create -d bridge --ipam-driver nosuch wrong
d h1 network create --config-only --subnet 10.63.0.0/24 cfg >/dev/null
d h2 network create --config-only --subnet 10.64.0.0/24 cfg >/dev/null
d h1 network create -d bridge --scope swarm --config-from cfg --attachable everywhere >/dev/null
same 'swarm bridge' "$(net everywhere '.Scope}} {{.Driver')" "its scope"
if ours; then # a task on such a network says that this node cannot
  create --name spread --network everywhere --restart-condition none "$I" sleep 100000 >/dev/null
  eventually 60 rejected spread 'Rejected.*bridge networks are not supported'
  c rm spread >/dev/null
else
  create --name spread --mode global --network everywhere "$I" sleep 100000 >/dev/null
  eventually 60 replicas spread 2/2
  # Each node gives addresses of its own configuration.
  for host in h1 h2; do
    [[ $(d $host exec "$(d $host ps -q --filter label=com.docker.swarm.service.name=spread)" ip addr) == *" 10.6$((2 + ${host#h}))."* ]] || fail "the address on $host"
  done
  c rm spread >/dev/null
fi
if knows 'network create' ipv4; then
  d h1 network create -d bridge --ipv4=true --ipv6 --subnet 10.66.0.0/24 --subnet fd00:66::/64 both >/dev/null
  same 'true true' "$(net both '.EnableIPv4}} {{.EnableIPv6')" "both families"
  refused 'IPv4' d h1 network create -d overlay --ipv4=false --ipv6 wrong
fi

step "network ls, connect, disconnect, rm, prune"
same "$(net plain .Id)" "$(d h1 network ls --no-trunc --filter name=plain --format '{{.ID}}')" "a whole id"
d h1 network create --ipv6 --subnet 10.65.0.0/24 --subnet fd00:65::/64 --label keep=no six >/dev/null
d h1 run -d --name guest "$I" sleep 100000 >/dev/null
d h1 run -d --name friend --network six "$I" sleep 100000 >/dev/null
d h1 network connect --ip6 fd00:65::9 six guest
[[ $(d h1 exec guest ip -6 addr) == *fd00:65::9/64* ]] || fail "the IPv6 address"
if ours; then
  refused 'Links .*is not supported by Skep' d h1 network connect --link friend:other plain guest
  ! knows 'network connect' gw-priority || refused 'GwPriority .*is not supported by Skep' d h1 network connect --gw-priority 5 plain guest
fi
d h1 network disconnect --force six guest
same '' "$(d h1 inspect guest --format '{{range $name, $v := .NetworkSettings.Networks}}{{if eq $name "six"}}{{$name}}{{end}}{{end}}')" "disconnected"
d h1 rm -f guest friend >/dev/null
d h1 network create --label keep=yes kept >/dev/null
d h1 network prune --force --filter label=keep=no >"$LAB/pruned"
same "six" "$(sed -n '/^six$/p' "$LAB/pruned")" "pruned by label"
same kept "$(d h1 network ls --filter label=keep --format '{{.Name}}')" "what the filter spares"
if knows 'network rm' force; then # the command alone decides
  d h1 network rm --force nosuch kept >/dev/null || fail "forced, and what is not there matters"
  same '' "$(d h1 network ls -q --filter name=kept)" "removed by force"
fi

step "service create: entrypoint, templates in secrets, what is for Windows"
printf 'of {{.Service.Name}} on {{.Node.Hostname}}' | d h1 secret create --template-driver golang t1 - >/dev/null
create --name talk --replicas 1 --constraint node.hostname==h1 --entrypoint 'sh -c' --secret t1 --stop-grace-period 1s --label gone=1 --label stays=1 --isolation default \
  "$I" 'cat /run/secrets/t1; echo; sleep 100000' >/dev/null
logged() { [[ $(c logs --raw talk 2>/dev/null) == "$1"* ]]; }
# A stock engine hands the templates of secrets no description of the node (moby's executor.go, Controller).
word='of talk on h1'
ours || word='of talk on '
eventually 60 logged "$word"
same '["sh","-c"]' "$(spec talk TaskTemplate.ContainerSpec.Command)" "the entrypoint"
create --name odd --isolation process --restart-condition none "$I" sleep 1000 >/dev/null
create --name spy --credential-spec file://spec.json --restart-condition none "$I" sleep 1000 >/dev/null
eventually 60 rejected odd 'Rejected.*isolation'
eventually 60 rejected spy 'Rejected.*(credential|security-opt)'
refused 'credential' create --credential-spec bogus "$I" true
! ours || refused 'invalid Isolation' create --isolation nosuch "$I" true # stock lets each task fail of it
update --isolation default odd
same '"default"' "$(spec odd TaskTemplate.ContainerSpec.Isolation)" "update of isolation"
update --credential-spec file://other.json spy
same '"other.json"' "$(spec spy TaskTemplate.ContainerSpec.Privileges.CredentialSpec.File)" "update of a credential"
c rm odd spy >/dev/null
# Their tasks are wanted until the manager has heard of it.
alone() { [[ $(d h1 node ps --filter desired-state=running --format '{{.Name}}' h1) == talk.1 ]]; }
eventually 60 alone

step "logs: whom a line is of, and from when"
task=$(c ps talk -q --no-trunc)
prefix() { c logs "$@" talk 2>/dev/null | sed -n 's/ *|.*//p' | head -n 1; }
same "talk.1.${task:0:12}@h1" "$(prefix)" "a line's beginning"
same "talk.1@h1" "$(prefix --no-task-ids)" "without the task"
same "talk.1.$task@h1" "$(prefix --no-trunc)" "with the whole id"
same "$(c inspect talk --format '{{.ID}}').1.${task:0:12}@$(d h1 node inspect h1 --format '{{.ID}}')" "$(prefix --no-resolve)" "with ids instead of names"
same "$word" "$(c logs --raw --since 10m talk)" "since ten minutes"
same '' "$(c logs --raw --since 2100-01-01 talk)" "since a day to come"

step "ps: ids instead of names, whole ids"
same "$(c inspect talk --format '{{.ID}}').1" "$(d h1 node ps --no-resolve --filter desired-state=running --format '{{.Name}}' h1)" "node ps --no-resolve"
same "$task" "$(d h1 node ps --no-trunc -q h1 --filter desired-state=running)" "node ps --no-trunc"
same "$(host_of h1)" "$(c ps --no-resolve --format '{{.Node}}' talk)" "service ps --no-resolve"

step "resources that are counted"
create --name two --replicas 1 --generic-resource gpu=2 --stop-grace-period 1s --restart-delay 0s "$I" sleep 100000 >/dev/null
eventually 60 replicas two 1/1
same 'DOCKER_RESOURCE_GPU=2' "$(d h1 exec "$(container two)" env | sed -n '/^DOCKER_RESOURCE/p')" "what it was given"
create --name more --replicas 1 --generic-resource gpu=1 --stop-grace-period 1s "$I" sleep 100000 >/dev/null
waits() { [[ $(c ps "$1" --no-trunc --format '{{.CurrentState}} {{.Error}}') =~ Pending.*'no suitable node'.*'insufficient resources' ]]; }
eventually 60 waits more
update --generic-resource-rm gpu two
eventually 60 replicas more 1/1
same null "$(spec two TaskTemplate.Resources.Reservations.GenericResources)" "taken off"
update --generic-resource-add gpu=1 --update-delay 0s two
given() { [[ $(d h1 exec "$(container two)" env | sed -n '/^DOCKER_RESOURCE/p') == DOCKER_RESOURCE_GPU=1 ]]; }
eventually 60 given
c rm two more >/dev/null

step "service update: the rest of its flags"
update --entrypoint 'sh -x -c' --cap-add SYS_TIME --label-rm gone --endpoint-mode dnsrr --health-cmd 'test -e /bin/sh' --health-interval 500ms --health-retries 4 \
  --health-timeout 20s --health-start-period 3s talk
updated() { [[ $(c inspect talk --format '{{.UpdateStatus.State}}') == completed && $(container talk | wc -l) == 1 ]]; }
eventually 60 updated
same '["sh","-x","-c"] ["CAP_SYS_TIME"] {"stays":"1"} "dnsrr"' "$(spec talk TaskTemplate.ContainerSpec.Command) $(spec talk TaskTemplate.ContainerSpec.CapabilityAdd) $(spec talk Labels) $(spec talk EndpointSpec.Mode)" "the specification"
same '{"Test":["CMD-SHELL","test -e /bin/sh"],"Interval":500000000,"Timeout":20000000000,"StartPeriod":3000000000,"Retries":4}' \
  "$(d h1 inspect "$(container talk)" --format '{{json .Config.Healthcheck}}')" "its check"
healthy() { [[ $(d h1 inspect "$(container talk)" --format '{{.State.Health.Status}}') == healthy ]]; }
eventually 60 healthy
# CAP_SYS_TIME is the 26th.
power=$(d h1 exec "$(container talk)" sed -n 's/^CapBnd:.0*//p' /proc/1/status)
((16#$power >> 25 & 1)) || fail "the capability: $power"
create --name job --mode replicated-job --replicas 1 --max-concurrent 1 "$I" true >/dev/null
refused 'replicas can only be used with replicated' c update --replicas 4 job
update --max-concurrent 2 job
in_sequence c scale --detach job=4 >/dev/null
# The flag changes nothing here: the job keeps what it was made with.
same '{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":4}}' "$(spec job Mode)" "a job"
eventually 60 replicas job '0/1 (4/4 completed)'
if knows 'service create' health-start-interval; then
  # Looked at once an hour it would not be healthy for an hour.
  create --name early --constraint node.hostname==h1 --health-cmd true --health-interval 1h --health-start-period 2h --health-start-interval 200ms --stop-grace-period 1s "$I" sleep 100000 >/dev/null
  well() { [[ $(d h1 ps --filter label=com.docker.swarm.service.name=early --filter health=healthy -q) ]]; }
  eventually 60 well
  # The docker command of today takes the flag for an update, too, and tells the engine nothing of it.
  update --health-start-interval 300ms --health-retries 5 early
  same 5 "$(spec early TaskTemplate.ContainerSpec.Healthcheck.Retries)" "retries beside it"
  [[ $(spec early TaskTemplate.ContainerSpec.Healthcheck.StartInterval) =~ ^[23]00000000$ ]] || fail "the first looks"
fi
if knows 'service create' oom-score-adj; then
  create --name victim --constraint node.hostname==h1 --oom-score-adj 321 --stop-grace-period 1s "$I" sleep 100000 >/dev/null
  eventually 60 replicas victim 1/1
  same 321 "$(d h1 exec "$(container victim)" cat /proc/1/oom_score_adj)" "whom the kernel ends first"
  update --oom-score-adj 123 victim
  changed() { [[ $(d h1 exec "$(container victim)" cat /proc/1/oom_score_adj) == 123 ]]; }
  eventually 60 changed
fi
mapfile -t left < <(c ls -q)
c rm "${left[@]}" >/dev/null

step "stacks: what is listed, and waiting for the end"
cat >"$LAB/c.yml" <<'Y'
version: "3.8"
services:
  web:
    image: "busybox:${TAG}"
    command: sleep 100000
    stop_grace_period: 1s
    deploy: {replicas: 2, placement: {constraints: [node.hostname==h1]}}
  other:
    image: "busybox:${TAG}"
    command: sleep 100000
    stop_grace_period: 1s
Y
export TAG=lab
d h1 stack deploy -c "$LAB/c.yml" --resolve-image never st >/dev/null 2>&1
listed() { [[ $(d h1 stack services st --format '{{.Name}} {{.Replicas}}' | sort | tr '\n' ,) == 'st_other 1/1,st_web 2/2,' ]]; }
eventually 60 listed
same st_web "$(d h1 stack services st --filter name=st_web --format '{{.Name}}')" "stack services by name"
same "$(c ls -q --filter name=st_web)" "$(d h1 stack services st --filter name=st_web --quiet)" "its id"
same 'st_web.1 st_web.2 ' "$(d h1 stack ps st --filter name=st_web --format '{{.Name}}' | sort | tr '\n' ' ')" "stack ps by name"
same "$(host_of h1)" "$(d h1 stack ps st --no-resolve --filter name=st_web.1 --format '{{.Node}}')" "stack ps --no-resolve"
if "$LAB_DOCKER" stack config --help | has ' --skip-interpolation'; then
  [[ $(d h1 stack config -c "$LAB/c.yml") == *'image: busybox:lab'* ]] || fail "stack config"
  [[ $(d h1 stack config --compose-file "$LAB/c.yml" --skip-interpolation) == *'image: busybox:${TAG}'* ]] || fail "stack config as it is written"
fi
sed -i '/^  other/,$d' "$LAB/c.yml"
in_sequence d h1 stack deploy --prune --with-registry-auth -c "$LAB/c.yml" --resolve-image never st >/dev/null 2>&1
same st_web "$(d h1 stack services st --format '{{.Name}}')" "what is not in the file any more"
if "$LAB_DOCKER" stack deploy --help | has ' --detach'; then
  sed -i 's/replicas: 2/replicas: 3/' "$LAB/c.yml"
  in_sequence d h1 stack deploy --detach=false --quiet -c "$LAB/c.yml" --resolve-image never st >"$LAB/quiet" 2>&1
  same 'st_web 3/3' "$(d h1 stack services st --format '{{.Name}} {{.Replicas}}')" "it waits for the tasks"
  ! grep -q 'overall progress' "$LAB/quiet" || fail "not quiet: $(<"$LAB/quiet")"
  # Its network goes when its last task is on its way out, so that it may want to be asked twice. And the command
  # counts a task that has ended once a look, and goes on for ever where it misses the moment at which it has
  # counted as many as there are.
  socket=$LAB/h1/$(ours && echo skep || echo docker).sock
  removed() { timeout -k 5 20 "$LAB_DOCKER" -H "unix://$socket" stack rm --detach=false st >/dev/null 2>&1; }
  eventually 60 removed
  ended() { [[ -z $(d h1 service ls -q)$(d h1 ps -q --filter label=com.docker.stack.namespace=st) ]]; }
  eventually 60 ended
fi
