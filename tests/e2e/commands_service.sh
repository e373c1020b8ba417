#!/bin/bash
# Every flag of service create and update, and the commands for services, stacks and what runs of
# them: each with what it brings about inside of the container or the API, and what is refused; by the
# newest docker command of this machine against three nodes. SKEP_E2E_ENGINE=stock runs the same on
# stock engines, to show that the script itself is honest.
# ctest: COST 60
# ctest-stock: TIMEOUT 1800 COST 110
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft jq script
lab_commands
lab_up 3
I=$LAB_IMAGE

c() { d h1 service "$@"; }
create() { c create --detach --quiet --no-resolve-image "$@"; }
update() { in_sequence c update --detach --quiet --no-resolve-image "$@" >/dev/null; }
service() { c inspect "$1" --format "{{$2}}"; }
# spec SERVICE PATH: a part of its specification as compact JSON.
spec() { c inspect "$1" | jq -c ".[0].Spec.$2"; }
container() { d h1 ps -q --no-trunc --filter "label=com.docker.swarm.service.name=$1"; }
inside() { local name=$1; shift; d h1 exec "$(container "$name")" "$@"; }
# (After a limit per node the column goes on.)
replicas() { [[ "$(c ls --filter "name=$1" --format '{{.Replicas}}') " == "$2 "* ]]; }

step "three nodes, a network, a secret, a configuration"
engines h1 h2 h3
d h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
worker=$(d h1 swarm join-token -q worker)
for host in h2 h3; do d $host swarm join --token "$worker" "$(ip_of h1):2377" >/dev/null; done
d h1 network create -d overlay --attachable --subnet 10.61.0.0/24 one >/dev/null
d h1 network create -d overlay --attachable --subnet 10.62.0.0/24 two >/dev/null
printf s3cret | d h1 secret create s1 - >/dev/null
printf conf | d h1 config create c1 - >/dev/null
# A stock engine has one file for all the uses of a secret, with the mode and owner of one of them.
s2=s1 c2=c1
if ! ours; then
  s2=s2 c2=c2
  printf s3cret | d h1 secret create s2 - >/dev/null
  printf conf | d h1 config create c2 - >/dev/null
fi
in_sequence d h1 node update --label-add zone=a h1 >/dev/null
mkdir "$LAB/bind"; echo bound >"$LAB/bind/f"
echo 'C=3' >"$LAB/env"

step "service create with every flag"
create --name full --constraint node.hostname==h1 --replicas 1 --env A=1 -e B=two --env-file "$LAB/env" --label l=1 --container-label cl=1 \
  --placement-pref spread=node.labels.zone --limit-cpu 0.5 --limit-memory 64m --limit-pids 50 --reserve-cpu 0.1 --reserve-memory 16m \
  --restart-condition on-failure --restart-delay 3s --restart-max-attempts 4 --restart-window 5s \
  --update-parallelism 2 --update-delay 1s --update-order start-first --update-failure-action rollback --update-monitor 2s --update-max-failure-ratio 0.1 \
  --rollback-parallelism 3 --rollback-delay 2s --rollback-order start-first --rollback-failure-action continue --rollback-monitor 3s --rollback-max-failure-ratio 0.2 \
  --network name=one,alias=other --network two --secret source=s1,target=/run/s1,mode=0400,uid=1,gid=2 --secret "$s2" --config c1 --config source="$c2",target=/etc/c,mode=0440 \
  --mount type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=1770 --mount type=volume,source=vol,target=/v,volume-label=x=y \
  --mount "type=bind,source=$LAB/bind,target=/b,readonly" --hostname '{{.Service.Name}}-{{.Task.Slot}}' --workdir /tmp --user root \
  --stop-grace-period 1s --stop-signal INT --health-cmd 'test -e /bin/sh' --health-interval 1s --health-retries 3 --health-timeout 30s --health-start-period 1s \
  --dns 10.9.9.9 --dns-search ex.test --dns-option ndots:2 --host extra:10.1.1.1 --cap-add NET_ADMIN --cap-drop CHOWN --ulimit nofile=512:1024 \
  --sysctl net.ipv4.ip_unprivileged_port_start=1 --init --read-only --log-driver json-file --log-opt max-size=1m --endpoint-mode vip --group nogroup \
  --tty --replicas-max-per-node 2 "$I" sleep 100000 >/dev/null
within 60 replicas full 1/1 || fail "$(c ps --no-trunc full)"
inside full sh -c 'hostname; pwd; id -un; echo "$A $B $C"; cat /run/secrets/'"$s2"' /run/s1 /c1 /etc/c; echo; cat /b/f
  stat -c "%a %u %g" /run/s1 /etc/c; stat -c %a /scratch; ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
  touch /no 2>/dev/null || echo read-only; touch /b/no 2>/dev/null || echo bind read-only; touch /v/yes /scratch/yes && echo written
  test -t 1 && echo no terminal of exec; test -c /dev/console -o -c /dev/pts/0 && echo terminal
  grep -c "^10.1.1.1.extra" /etc/hosts; grep -h "^search\|^options" /etc/resolv.conf; id -G; grep CapBnd /proc/1/status' | tr -d '\r' >"$LAB/inside"
cat >"$LAB/wanted" <<W
full-1
/tmp
root
1 two 3
s3crets3cretconfconf
bound
400 1 2
440 0 0
1770
512
1024
1
read-only
bind read-only
written
terminal
1
search ex.test
options ndots:2
0 65534
CapBnd:	00000000a80435fa
W
diff "$LAB/wanted" "$LAB/inside" || fail "what the task sees"
[[ $(inside full sh -c 'cat /proc/1/cmdline' | tr '\0' ' ') == *init*sleep* ]] || fail "no init process"
field() { d h1 inspect "$(container full)" --format "{{$1}}"; }
same '67108864 500000000 50 INT json-file 1m' "$(field '.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.Config.StopSignal}} {{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-size"')" "the container"
same '[10.9.9.9] [ex.test] [ndots:2] [extra:10.1.1.1] true' "$(field '.HostConfig.Dns}} {{.HostConfig.DnsSearch}} {{.HostConfig.DnsOptions}} {{.HostConfig.ExtraHosts}} {{.HostConfig.ReadonlyRootfs')" "names"
same 'one two ' "$(field 'range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end')" "networks"
[[ $(field .NetworkSettings.Networks.one.IPAddress) == 10.61.0.* ]] || fail "address"
same '1 full' "$(field 'index .Config.Labels "cl"}} {{index .Config.Labels "com.docker.swarm.service.name"')" "labels"
same y "$(d h1 volume inspect vol --format '{{.Labels.x}}')" "the volume's label"
same '{"Parallelism":2,"Delay":1000000000,"FailureAction":"rollback","Monitor":2000000000,"MaxFailureRatio":0.1,"Order":"start-first"}' "$(spec full UpdateConfig)" "update"
same '{"Parallelism":3,"Delay":2000000000,"FailureAction":"continue","Monitor":3000000000,"MaxFailureRatio":0.2,"Order":"start-first"}' "$(spec full RollbackConfig)" "rollback"
same '{"Condition":"on-failure","Delay":3000000000,"MaxAttempts":4,"Window":5000000000}' "$(spec full TaskTemplate.RestartPolicy)" "restart"
same '[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}] 2' "$(spec full TaskTemplate.Placement.Preferences) $(spec full TaskTemplate.Placement.MaxReplicas)" "placement"

step "the sandbox, by the id that inspect shows"
if ours; then
  sandbox=$(field .NetworkSettings.SandboxID)
  for id in "$sandbox" "${sandbox:0:12}" "$(basename "$(field .NetworkSettings.SandboxKey)")"; do
    [[ $(on h1 ip netns exec "$id" ip addr) == *"$(field .NetworkSettings.Networks.one.IPAddress)/24"* ]] || fail "ip netns exec $id"
  done
fi
# (The command itself waits two seconds for a figure, of which one is for the measuring.)
measured() { [[ $(d h1 stats --no-stream --format 'table {{.Container}}\t{{.NetIO}}') =~ NET\ I/O.*B\ /\ [0-9.]+[kM]?B ]]; }
eventually 60 measured

step "service update with every flag"
update --env-add A=9 --env-rm B --label-add l=2 --label-add m=3 --container-label-rm cl --container-label-add dl=4 --constraint-rm node.hostname==h1 \
  --constraint-add node.labels.zone==a --placement-pref-rm spread=node.labels.zone --placement-pref-add spread=node.hostname \
  --limit-cpu 0.6 --limit-memory 80m --limit-pids 60 --reserve-cpu 0.2 --reserve-memory 20m --replicas 2 --replicas-max-per-node 3 \
  --restart-condition any --restart-delay 1s --restart-max-attempts 5 --restart-window 6s --update-parallelism 4 --update-delay 0s --update-order stop-first \
  --update-failure-action continue --update-monitor 1s --update-max-failure-ratio 0.5 --rollback-parallelism 0 --rollback-delay 0s --rollback-order stop-first \
  --rollback-failure-action pause --rollback-monitor 1s --rollback-max-failure-ratio 0 --network-rm two --mount-rm /v --mount-add type=tmpfs,target=/t \
  --secret-rm s1 --secret-rm "$s2" --secret-add source=s1,target=/run/again --config-rm c1 --config-rm "$c2" --config-add source=c1,target=/etc/again --hostname plain --workdir /etc --user nobody \
  --group-rm nogroup --group-add root --stop-grace-period 2s --stop-signal TERM --no-healthcheck --dns-rm 10.9.9.9 --dns-add 10.8.8.8 \
  --dns-search-rm ex.test --dns-search-add ex2.test --dns-option-rm ndots:2 --dns-option-add timeout:1 --host-rm extra:10.1.1.1 --host-add more:10.2.2.2 \
  --cap-drop NET_RAW --ulimit-rm nofile --ulimit-add nproc=100:200 --sysctl-rm net.ipv4.ip_unprivileged_port_start --sysctl-add net.ipv4.ip_local_port_range="2000 3000" \
  --init=false --read-only=false --tty=false --log-driver json-file --log-opt max-file=2 --args 'sleep 200000' --publish-add target=81,mode=host full
updated() { replicas full 2/2 && [[ $(service full .UpdateStatus.State) == completed && $(container full | wc -l) == 2 ]]; }
eventually 90 updated
c inspect full | jq -cS '.[0].Spec | [.Labels, .Mode, .TaskTemplate.Placement.Constraints, .TaskTemplate.Placement.Preferences, .TaskTemplate.Placement.MaxReplicas,
  .TaskTemplate.Resources, .TaskTemplate.RestartPolicy, .UpdateConfig, .RollbackConfig, (.TaskTemplate.Networks | length), (.TaskTemplate.ContainerSpec | .Args, (.Env | sort), .Labels, .Dir, .User, .Groups, .Hostname,
  .StopSignal, .StopGracePeriod, .Healthcheck.Test, .DNSConfig, .Hosts, .CapabilityAdd, .CapabilityDrop, .Ulimits, .Sysctls, .Init, .ReadOnly, .TTY,
  ([.Mounts[].Target] | sort), [.Secrets[].File.Name], [.Configs[].File.Name]), .TaskTemplate.LogDriver, .EndpointSpec.Ports][]' >"$LAB/updated"
cat >"$LAB/wanted" <<'W'
{"l":"2","m":"3"}
{"Replicated":{"Replicas":2}}
["node.labels.zone==a"]
[{"Spread":{"SpreadDescriptor":"node.hostname"}}]
3
{"Limits":{"MemoryBytes":83886080,"NanoCPUs":600000000,"Pids":60},"Reservations":{"MemoryBytes":20971520,"NanoCPUs":200000000}}
{"Condition":"any","Delay":1000000000,"MaxAttempts":5,"Window":6000000000}
{"FailureAction":"continue","MaxFailureRatio":0.5,"Monitor":1000000000,"Order":"stop-first","Parallelism":4}
{"FailureAction":"pause","MaxFailureRatio":0,"Monitor":1000000000,"Order":"stop-first","Parallelism":0}
1
["sleep","200000"]
["A=9","C=3"]
{"dl":"4"}
"/etc"
"nobody"
["root"]
"plain"
"TERM"
2000000000
["NONE"]
{"Nameservers":["10.8.8.8"],"Options":["timeout:1"],"Search":["ex2.test"]}
["10.2.2.2 more"]
["CAP_NET_ADMIN"]
["CAP_CHOWN","CAP_NET_RAW"]
[{"Hard":200,"Name":"nproc","Soft":100}]
{"net.ipv4.ip_local_port_range":"2000 3000"}
false
["/b","/scratch","/t"]
["/run/again"]
["/etc/again"]
{"Name":"json-file","Options":{"max-file":"2"}}
[{"Protocol":"tcp","PublishMode":"host","TargetPort":81}]
W
grep -v '^null$\|^false$' "$LAB/wanted" >"$LAB/wanted.set"
grep -v '^null$\|^false$' "$LAB/updated" | diff "$LAB/wanted.set" - || fail "the specification"
one=$(container full | sed -n 1p)
same 'plain /etc nobody 9 s3cret conf tmpfs 2000' "$(d h1 exec "$one" sh -c 'echo $(hostname) $PWD $(id -un) $A $(cat /run/again) $(cat /etc/again) \
  $(mount | sed -n "s/^\([a-z]*\) on .t .*/\1/p") $(cut -f1 /proc/sys/net/ipv4/ip_local_port_range)')" "inside of a new task"
told_port() { [[ $(c ps full --filter desired-state=running --format '{{.Ports}}') == *'->81/tcp'* ]]; }
eventually 60 told_port
c rm full >/dev/null

step "publish, networks, image and force: the rest of update; rollback"
create --name web --replicas 3 --constraint node.labels.zone==a --network one -p 8080:80 --publish published=8443,target=443,protocol=udp \
  --update-delay 0s --update-monitor 1s --update-parallelism 0 --stop-grace-period 1s "$I" sleep 100000 >/dev/null
eventually 60 replicas web 3/3
same '8080/tcp->80/ingress 8443/udp->443/ingress ' "$(service web 'range .Endpoint.Ports}}{{.PublishedPort}}/{{.Protocol}}->{{.TargetPort}}/{{.PublishMode}} {{end')" "ports"
same 2 "$(service web 'len .Endpoint.VirtualIPs')" "addresses of the service"
same '*:8080->80/tcp, *:8443->443/udp' "$(c ls --filter name=web --format '{{.Ports}}')" "service ls"
first=$(container web | sort)
done_with() { [[ $(service web .UpdateStatus.State) == "$1" ]] && replicas web "$2"; }
update --network-add two --publish-rm 443/udp --publish-add published=8090,target=90 --env-add NEW=1 web
eventually 60 done_with completed 3/3
same '8080 8090 ' "$(service web 'range .Endpoint.Ports}}{{.PublishedPort}} {{end')" "ports"
now() { [[ $(container web | wc -l) == 3 ]]; }
eventually 60 now
[[ -z $(comm -12 <(echo "$first") <(container web | sort)) ]] || fail "an update left a task as it was"
same 1 "$(d h1 exec "$(container web | sed -n 1p)" sh -c 'echo $NEW')" "environment"
[[ $(d h1 exec "$(container web | sed -n 1p)" ip addr) == *10.61.0.*10.62.0.* || $(d h1 exec "$(container web | sed -n 1p)" ip addr) == *10.62.0.*10.61.0.* ]] || fail "networks"
in_sequence c rollback --detach web >/dev/null
eventually 60 done_with rollback_completed 3/3
same '8080 8443 ' "$(service web 'range .Endpoint.Ports}}{{.PublishedPort}} {{end')" "ports of before"
eventually 60 now
first=$(container web | sort)
update --force web
eventually 60 done_with completed 3/3
eventually 60 now
[[ $(container web | sort) != "$first" && $(spec web TaskTemplate.ForceUpdate) == 1 ]] || fail "not forced"
d h1 tag "$I" busybox:other
update --image busybox:other --stop-grace-period 1s web
eventually 60 done_with completed 3/3
same busybox:other "$(c ls --filter name=web --format '{{.Image}}')" "image"
in_sequence c update --detach --rollback web >/dev/null
eventually 60 done_with rollback_completed 3/3
same "$I" "$(c ls --filter name=web --format '{{.Image}}')" "image of before"

step "ls, ps, inspect, scale, logs, rm"
create --stop-grace-period 1s --name small --mode global --constraint node.hostname!=h1 "$I" sh -c 'echo up; sleep 100000' >/dev/null
eventually 60 replicas small 2/2
same 'h2 h3 ' "$(c ps small --format '{{.Node}}' | sort | tr '\n' ' ')" "a global service's nodes"
same 'small global 2/2' "$(c ls --filter mode=global --format '{{.Name}} {{.Mode}} {{.Replicas}}')" "service ls by mode"
same 1 "$(c ps small --filter node=h2 -q | wc -l)" "service ps by node"
same small.h2 "$(c ps small --filter node=h2 --format '{{.Name}}' | sed "s/\.$(d h1 node ls --filter name=h2 -q)/.h2/")" "its name"
same "$(c ps small -q --no-trunc | sort | sed -n 1p)" "$(d h1 inspect --type task "$(c ps small -q --no-trunc | sort | sed -n 1p)" --format '{{.ID}}')" "a task by id"
[[ $(c inspect --pretty web) == *'Service Mode:'*Replicated*'Image:'*"$I"* ]] || fail "inspect --pretty"
[[ $(in_sequence c scale --detach web=1 2>&1) == *'web scaled to 1'* ]] || fail "scale"
eventually 60 replicas web 1/1
refused 'scale can only be used with replicated' c scale --detach small=3
logged() { [[ $(c logs small 2>/dev/null | grep -c '@h[23] .*| up') == 2 ]]; }
eventually 60 logged
same 'small web' "$(d h1 node ps h1 h2 --filter desired-state=running --format '{{.Name}}' | sed 's/\..*//' | sort -u | tr '\n' ' ' | sed 's/ $//')" "node ps"
refused 'no such service' c ps nosuch
refused 'no such service|not found' c inspect nosuch
refused 'No such service|not found' c rm nosuch
refused 'no such service|No such|not found' c update --detach --image x nosuch
c rm web small >/dev/null
same '' "$(c ls -q)" "services left"

step "jobs, dnsrr, and what service create refuses"
create --name job --mode replicated-job --replicas 2 --max-concurrent 1 "$I" true >/dev/null
create --name everywhere --mode global-job "$I" true >/dev/null
eventually 60 replicas job '0/1 (2/2 completed)'
eventually 60 replicas everywhere '0/0 (3/3 completed)'
create --stop-grace-period 1s --name rr --endpoint-mode dnsrr --network one --replicas 2 --constraint node.hostname==h1 "$I" sleep 100000 >/dev/null
eventually 60 replicas rr 2/2
# (A stock manager leaves .Endpoint.Spec empty where there is nothing to give.)
same 'dnsrr 0' "$(service rr '.Spec.EndpointSpec.Mode}} {{len .Endpoint.VirtualIPs')" "no address of its own"
asked() { [[ $(d h1 exec "$(container rr | sed -n 1p)" nslookup rr. | grep -c 'Address.*10\.61\.0\.') == 2 ]]; }
eventually 60 asked
refused 'published ports.*dnsrr|EndpointSpec.*ingress|port published with ingress mode' create --endpoint-mode dnsrr -p 1:1 "$I"
refused 'No such network|network nosuch not found' create --network nosuch "$I"
refused 'secret not found' create --secret nosuch "$I"
refused 'valid repository.tag|invalid reference format' create 'BAD NAME'
refused 'name conflicts|already exists' create --name rr "$I"
refused 'is not a valid name|name must be valid|invalid' create --name 'bad name' "$I"
refused 'already in use by service|port .* is already' bash -c "$(declare -f d ours skep stock c create); LAB=$LAB LAB_DOCKER=$LAB_DOCKER SKEP_E2E_ENGINE=${SKEP_E2E_ENGINE:-skep}
  create --name p1 -p 7070:1 $I sleep 1 >/dev/null; create --name p2 -p 7070:2 $I sleep 1"
refused 'invalid duration|time: ' create --update-delay soon "$I"
refused 'replicas can only be used|only be used with replicated' create --mode global --replicas 2 "$I"
refused 'expression|constraint' create --constraint 'node.labels' "$I"
refused 'memory|Minimum' create --limit-memory 1k "$I"
mapfile -t left < <(c ls -q)
c rm "${left[@]}" >/dev/null

step "stack: deploy, ls, ps, services, config, rm"
mkdir "$LAB/stack"
cat >"$LAB/stack/c.yml" <<'Y'
version: "3.8"
services:
  web:
    image: busybox:lab
    command: sleep 100000
    deploy: {replicas: 2, placement: {constraints: [node.hostname==h1]}, update_config: {monitor: 1s}}
    networks: [back]
    configs: [{source: conf, target: /etc/conf}]
    environment: {COLOUR: red}
    stop_grace_period: 1s
  extra:
    image: busybox:lab
    command: sleep 100000
    stop_grace_period: 1s
networks: {back: {attachable: true}}
configs: {conf: {file: ./conf}}
Y
echo one >"$LAB/stack/conf"
stacks() { (cd "$LAB/stack" && d h1 stack "$@"); }
deploy() { in_sequence stacks deploy -c c.yml --resolve-image never "$@" st >/dev/null 2>&1; }
deploy
eventually 60 replicas st_web 2/2
same 'st 2' "$(stacks ls --format '{{.Name}} {{.Services}}')" "stack ls"
same 'st_extra st_web ' "$(stacks services st --format '{{.Name}}' | sort | tr '\n' ' ')" "stack services"
listed() { [[ $(stacks ps st -q | wc -l) == 3 ]]; } # of the other service too
eventually 60 listed
same 'red one' "$(d h1 exec "$(container st_web | sed -n 1p)" sh -c 'echo $COLOUR $(cat /etc/conf)')" "inside"
sed -i 's/red/blue/; /^  extra:/,/^    stop/d' "$LAB/stack/c.yml"
deploy --prune
same st_web "$(stacks services st --format '{{.Name}}')" "pruned"
blue() { [[ $(d h1 exec "$(container st_web | sed -n 1p)" sh -c 'echo $COLOUR') == blue ]]; }
eventually 60 blue
[[ $(stacks --help) != *' config '* ]] || [[ $(stacks config -c c.yml) == *'COLOUR: blue'* ]] || fail "stack config"
sed 's/image:/imag:/' "$LAB/stack/c.yml" >"$LAB/stack/bad.yml"
refused 'imag' stacks deploy -c bad.yml st2
# Its network goes when its last task is on its way out, so that a busy engine wants to be asked twice.
gone() { stacks rm st >/dev/null 2>&1; [[ -z $(stacks ls --format '{{.Name}}')$(d h1 config ls -q --filter name=st_)$(d h1 network ls -q --filter name=st_) ]]; }
eventually 60 gone

step "containers beside: run -it, exec, ps, logs, inspect, events"
d h1 run -d --name alpine1 --network one "$I" sh -c 'echo out; sleep 100000' >/dev/null
d h2 run -d --name alpine2 --network one "$I" sleep 100000 >/dev/null
heard() { d h1 exec alpine1 ping -c 1 -W 1 alpine2 >/dev/null 2>&1; }
eventually 60 heard
said=$(script -qec "$LAB_DOCKER -H unix://$LAB/h1/$(ours && echo skep || echo docker).sock run -it --rm --name alpine3 --network one $I tty" /dev/null </dev/null)
[[ $said == */dev/* ]] || fail "run -it: $said"
said_out() { same out "$(d h1 logs alpine1)" "logs"; }
eventually 60 said_out
[[ $'\n'"$(d h1 ps --filter network=one --format '{{.Names}} {{.Status}}')" == *$'\n''alpine1 Up'* ]] || fail "ps by network" # beside tasks
same '' "$(d h1 ps --filter network=none-such --format '{{.Names}}')" "ps by another network"
[[ $(d h1 network inspect one --format '{{range .Containers}}{{.Name}} {{end}}') == *alpine1* ]] || fail "network inspect: $(d h1 network inspect one)"
[[ $(d h1 network inspect -v one --format '{{json .Peers}}') == *"$(ip_of h1)"* ]] || fail "network inspect -v"
refused 'not found' d h1 run --rm --network my-net "$I" true
d h1 rm -f alpine1 >/dev/null; d h2 rm -f alpine2 >/dev/null
[[ $(d h1 events --since 10m --until 0s --filter type=service --filter event=create --format '{{.Actor.Attributes.name}}') == *st_web* ]] || fail "events"
