#!/bin/bash
# The native skep command beside the docker command on the same daemons: what it does is seen in the
# API, what it prints is compared where the forms should be the same. First a stock dockerd, then
# skepd.
# ctest: COST 85
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker jq script
[[ -x ${SKEP_BUILD:-}/skep ]] || fail "SKEP_BUILD names no build with skep in it"
lab_up 2

HOST_SOCKET=
native() { DOCKER_CONFIG=$LAB/docker-config timeout 60 "$SKEP_BUILD/skep" -H "unix://$HOST_SOCKET" "$@"; }
docker() { DOCKER_CONFIG=$LAB/docker-config "$LAB_DOCKER" -H "unix://$HOST_SOCKET" "$@"; }

# alike COMMAND...: both commands print the same. Ages of things pass from one second to the next, and the
# daemon goes on with what it was told, so it is looked at again.
alike() { eventually 60 one_output "$@"; }
one_output() { same "$(docker "$@" 2>&1)" "$(native "$@" 2>&1)" "output of $*"; }

# status WANTED COMMAND...: the native command ends with that status.
status()
{
  local wanted=$1 got=0; shift
  native "$@" >/dev/null 2>&1 </dev/null || got=$?
  same "$wanted" "$got" "exit status of $*"
}

running() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }

step "usage, suggestions and exit statuses"
HOST_SOCKET=$LAB/none.sock
refused 'Did you mean `skep service' native servce ls
refused 'Did you mean --replicas' native service create --replcas 2 x
refused 'requires exactly 1 argument' native swarm join
refused 'Cannot connect to the daemon' native node ls
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$LAB/theirs.sock"
chown nobody "$LAB/theirs.sock"
chmod 600 "$LAB/theirs.sock"
refused "permission denied.*the socket's group" setpriv --bounding-set=-dac_override,-dac_read_search \
  "$SKEP_BUILD/skep" -H "unix://$LAB/theirs.sock" ps
refused 'this kind of host is not supported' "$SKEP_BUILD/skep" -H ssh://host ps
refused 'this kind of host is not supported' "$SKEP_BUILD/skep" -H bogus://host ps
status 125 service create --nosuch x
status 1 nosuch
[[ $(native service create --help) == *'--replicas uint'* ]] || fail "no help"
[[ $(native __complete -- service cr) == create ]] || fail "no completion"
for page in '' $(native __groups); do
  [[ -z $page || $(native __man "$page") == ".TH SKEP\\-${page^^} 1 "* ]] || fail "page $page"
  ! command -v groff >/dev/null || same '' "$(native __man ${page:+"$page"} | groff -man -Tutf8 -ww -z 2>&1)" "what groff says of page '$page'"
done
for shell in bash zsh fish; do [[ -n $(native completion $shell) ]] || fail "no $shell completion"; done
native completion bash | bash -n

# What a shell offers after "skep service cr", by the shell itself.
if command -v fish >/dev/null; then
  native completion fish >"$LAB/skep.fish"
  same create "$(PATH=$SKEP_BUILD:$PATH fish --no-config -c "source $LAB/skep.fish; complete -C 'skep service cr'" | cut -f1)" "fish"
fi
if command -v zsh >/dev/null; then
  native completion zsh >"$LAB/_skep"
  offered=$(PATH=$SKEP_BUILD:$PATH zsh -f -c "fpath=($LAB \$fpath); autoload -Uz compinit; compinit -u -D
    compadd() { print -rl -- \$words_found }; words=(skep service cr); CURRENT=3; _skep" 2>&1 || true)
  [[ $offered == *create* ]] || fail "zsh: $offered"
fi

# Hundreds of short runs that want no daemon, beside all that follows; looked at in the end.
python3 "$(dirname "$0")/skep_commands.py" "$(type -P docker)" "$SKEP_BUILD/skep" >"$LAB/commands" 2>&1 &
walks=$!
python3 "$(dirname "$0")/skep_requests.py" "$(type -P docker)" "$SKEP_BUILD/skep" "$LAB" >"$LAB/requested" 2>&1 &
asks=$!
refused 'not supported: build with docker buildx' native image build .
refused 'stand behind the command' native service --replicas 2 create x
refused 'does not look at signatures|false is not supported' native pull --disable-content-trust=false x

step "contexts"
export DOCKER_CONFIG=$LAB/context-config
ctx() { "$SKEP_BUILD/skep" context "$@"; }
printf ca >"$LAB/some.pem"
same 'far' "$(ctx create far --description 'far away' --docker "host=tcp://127.0.0.1:1,ca=$LAB/some.pem" 2>/dev/null)" "create"
refused 'already exists' ctx create far --docker host=tcp://127.0.0.1:1
refused 'reserved' ctx create default --docker host=tcp://127.0.0.1:1
refused 'invalid' ctx create ../x --docker host=tcp://127.0.0.1:1
refused 'a host is wanted' ctx create near
ctx create near --docker "host=unix://$LAB/h1/docker.sock" >/dev/null 2>&1
# The docker command knows them too.
same 'default far near ' "$("$LAB_DOCKER" context ls --format '{{.Name}}' | sort | tr '\n' ' ')" "docker's contexts"
same "$("$LAB_DOCKER" context inspect far --format '{{.Endpoints.docker.Host}} {{.TLSMaterial}}')" \
  "$(ctx inspect far --format '{{.Endpoints.docker.Host}} {{.TLSMaterial}}')" "inspect"
ctx use near >/dev/null
same near "$(ctx show)" "the context in use"
same near "$("$LAB_DOCKER" context show 2>/dev/null || "$LAB_DOCKER" context ls --format '{{if .Current}}{{.Name}}{{end}}' | grep .)" "docker's"
refused 'in use' ctx rm near
refused 'not found' ctx use nosuch
ctx use default >/dev/null
# What one of the two writes into an archive the other one reads.
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=lab -keyout "$LAB/key.pem" -out "$LAB/cert.pem" 2>/dev/null
ctx create full --docker "host=tcp://127.0.0.1:2,ca=$LAB/cert.pem,cert=$LAB/cert.pem,key=$LAB/key.pem" >/dev/null 2>&1
refused 'cert and key' ctx create half --docker "host=tcp://127.0.0.1:2,cert=$LAB/cert.pem"
ctx export full "$LAB/full.tar" 2>/dev/null
refused 'exists already' ctx export full "$LAB/full.tar"
same 600 "$(stat -c %a "$LAB/full.tar")" "who can read the key"
"$LAB_DOCKER" context import theirs "$LAB/full.tar" >/dev/null 2>&1
"$LAB_DOCKER" context export theirs - >"$LAB/theirs.tar" 2>/dev/null
same again "$(ctx import again - 2>/dev/null <"$LAB/theirs.tar")" "import"
endpoint() { "$1" context inspect "$2" | jq -S '.[0] | [.Endpoints, .TLSMaterial]'; }
same "$(endpoint "$SKEP_BUILD/skep" full)" "$(endpoint "$LAB_DOCKER" again)" "there and back"
cmp "$LAB/key.pem" "$DOCKER_CONFIG"/contexts/tls/"$(printf again | sha256sum | cut -d' ' -f1)"/docker/key.pem
refused 'already exists' ctx import again "$LAB/full.tar"
refused 'no exported context' ctx import odd "$LAB/cert.pem"
refused 'the archive ends' ctx import odd - < <(head -c 600 "$LAB/full.tar")
tar -C "$LAB" -cf "$LAB/odd.tar" cert.pem
refused 'cert.pem does not belong' ctx import odd "$LAB/odd.tar"
refused 'tar archives are' ctx import odd - <<<'PK..'
ctx create copy --from full >/dev/null 2>&1
ctx update copy --description 'a copy' --docker host=tcp://127.0.0.1:3,ca=,cert=,key= >/dev/null 2>&1
same 'tcp://127.0.0.1:3 a copy 0' "$("$LAB_DOCKER" context inspect copy |
  jq -r '.[0] | "\(.Endpoints.docker.Host) \(.Metadata.Description) \(.TLSMaterial | length)"')" "update"
refused 'not found' ctx update nosuch --description x
refused 'cannot be updated' ctx update default --description x
ctx rm full theirs again copy >/dev/null
ctx rm far near >/dev/null
same default "$(ctx ls --format '{{.Name}}')" "what is left"
same '' "$(find "$DOCKER_CONFIG/contexts" -name '*.json' -o -name '*.pem')" "files that are left"

step "passwords of registries: in the file, and with a helper"
mkdir -p "$LAB/helpers"
cat >"$LAB/helpers/docker-credential-lab" <<'H'
#!/bin/sh
kept=${0%/*}/kept
case $1 in
store) cat >"$kept" ;;
get) if [ -e "$kept" ]; then cat "$kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) rm -f "$kept" ;;
esac
H
chmod +x "$LAB/helpers/docker-credential-lab"
export PATH=$LAB/helpers:$PATH
# A daemon that does not check passwords (this one answers nothing else).
python3 -c '
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"{}"):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status); self.send_header("Api-Version", "1.41"); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self): self.answer(200, b"OK")
    do_HEAD = do_GET
    def do_POST(self): self.answer(501, b"{\"message\": \"not checked\"}")
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H); print(s.server_port, flush=True); s.serve_forever()' >"$LAB/port" &
checker=$!
eventually 60 test -s "$LAB/port"
login() { "$SKEP_BUILD/skep" -H "tcp://127.0.0.1:$(<"$LAB/port")" "$@" 2>&1; }
[[ $(echo pass | login login -u me --password-stdin reg.test:5000) == *'Login stored'* ]] || fail "login"
same 'me:pass' "$(jq -r '.auths["reg.test:5000"].auth' "$DOCKER_CONFIG/config.json" | base64 -d)" "in the file"
same 600 "$(stat -c %a "$DOCKER_CONFIG/config.json")" "who can read it"
[[ $(login logout reg.test:5000) == 'Removing login credentials for reg.test:5000' ]] || fail "logout"
same '{}' "$(jq -c .auths "$DOCKER_CONFIG/config.json")" "forgotten"
jq '.credHelpers["reg.test:5000"] = "lab"' "$DOCKER_CONFIG/config.json" >"$LAB/config.new" && mv "$LAB/config.new" "$DOCKER_CONFIG/config.json"
echo pass | login login -u me --password-stdin reg.test:5000 >/dev/null
same '{"ServerURL":"reg.test:5000","Username":"me","Secret":"pass"}' "$(jq -c . "$LAB/helpers/kept")" "with the helper"
same '{}' "$(jq -c '.auths // {}' "$DOCKER_CONFIG/config.json")" "not in the file"
login logout reg.test:5000 >/dev/null
[[ ! -e $LAB/helpers/kept ]] || fail "the helper was not told"
[[ $(login logout reg.test:5000) == 'Not logged in to reg.test:5000' ]] || fail "logout again"
refused 'with --password-stdin' login login --password-stdin reg.test
kill "$checker"
unset DOCKER_CONFIG

step "a swarm on a stock dockerd"
stock_start h1
stock_image h1
HOST_SOCKET=$LAB/h1/docker.sock
said=$(native swarm init --advertise-addr "$(ip_of h1)" --task-history-limit 3)
[[ $said == *"swarm join --token SWMTKN-1-"*"$(ip_of h1):2377"* ]] || fail "init said: $said"
same 3 "$(docker info --format '{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}}')" "history limit"
refused 'already part of a swarm' native swarm init
same "$(docker swarm join-token -q worker)" "$(native swarm join-token -q worker)" "the token"
in_sequence native swarm update --autolock --cert-expiry 100h >/dev/null
same "$(docker swarm unlock-key -q)" "$(native swarm unlock-key -q)" "the unlock key"
in_sequence native swarm update --autolock=false >/dev/null
refused 'every 12 hours, and not when asked' native swarm update --rotate-network-keys
same 360000000000000 "$(docker info --format '{{json .Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}}')" "expiry"
alike swarm ca

step "nodes"
alike node ls
alike node ls --format '{{.ID}} {{.Self}} {{.ManagerStatus}} {{.TLSStatus}}'
alike node inspect self --format '{{.Spec.Role}} {{.Status.State}} {{range .Description.Engine.Plugins}}{{.Type}}/{{.Name}} {{end}}'
alike node inspect self
alike node inspect self --pretty
alike node ls --format '{{json .}}'
in_sequence native node update --label-add zone=a --label-add rack=b self >/dev/null 2>&1 || native node update \
  --label-add zone=a --label-add rack=b "$(docker node ls -q)" >/dev/null
same a "$(docker node inspect self --format '{{.Spec.Labels.zone}}')" "the label"
refused "doesn't exist in node's labels" native node update --label-rm none "$(docker node ls -q)"
alike node ls --filter role=manager -q

step "networks, secrets, configurations"
native network create -d overlay --attachable --subnet 10.9.0.0/24 --gateway 10.9.0.9 --label a=b net1 >/dev/null
same '10.9.0.0/24 10.9.0.9 true b' "$(docker network inspect net1 --format \
  '{{with index .IPAM.Config 0}}{{.Subnet}} {{.Gateway}}{{end}} {{.Attachable}} {{.Labels.a}}')" "the network"
alike network ls
alike network ls --filter driver=overlay --format 'table {{.Name}}\t{{.Scope}}'
alike network inspect net1
alike network ls --format '{{json .}}'
refused 'no matching subnet' native network create --subnet 10.8.0.0/24 --gateway 10.7.0.1 net2
printf 'very secret' | native secret create --label k=v sec1 - >/dev/null
printf 'setting' >"$LAB/cfg"
native config create cfg1 "$LAB/cfg" >/dev/null
same setting "$(docker config inspect cfg1 --format '{{json .Spec.Data}}' | tr -d '"' | base64 -d)" "the config"
alike secret ls
alike config ls --format '{{json .}}'
alike secret inspect sec1
alike secret inspect sec1 --pretty
alike config inspect cfg1 --pretty

step "a service with many options, as docker makes it"
# shellcheck disable=SC2054 # commas inside of values
many=(--detach --no-resolve-image --replicas 2 --env A=1 --env B=two --label l=1 --container-label c=1
  --constraint node.role==manager --placement-pref spread=node.labels.zone --limit-cpu 0.5
  --limit-memory 64m --reserve-memory 16m --restart-condition on-failure --restart-delay 3s
  --restart-max-attempts 4 --update-parallelism 2 --update-delay 1s --update-order start-first
  --rollback-monitor 2s --publish 8090:80 --publish 'published=8092,target=82,mode=host,protocol=udp'
  --network 'name=net1,alias=full' --secret source=sec1,target=/run/s1,mode=0400 --config cfg1
  --mount type=tmpfs,target=/scratch,tmpfs-size=1m --mount type=volume,source=v,target=/v,volume-label=x=y
  --hostname 'h-{{.Task.Slot}}' --user nobody --workdir /tmp --stop-grace-period 1s --stop-signal TERM
  --health-cmd true --health-interval 5s --dns 10.9.9.9 --host extra:10.1.1.1 --cap-add NET_ADMIN
  --ulimit nofile=512:1024 --sysctl net.ipv4.ip_forward=1 --init --read-only --log-driver json-file
  --log-opt max-size=1m --endpoint-mode vip --group nogroup)
created() { jq -S '.[0].Spec | del(.Name)' <<<"$1"; }
docker service create "${many[@]}" --name full "$LAB_IMAGE" sleep 1000 >/dev/null 2>&1
theirs=$(docker service inspect full)
docker service rm full >/dev/null
within 60 docker network inspect net1 >/dev/null
native service create "${many[@]}" --name full "$LAB_IMAGE" sleep 1000 >/dev/null
ours=$(docker service inspect full)
same "$(created "$theirs")" "$(created "$ours")" "the specification"
alike service inspect full
docker service rm full >/dev/null

step "services live"
said=$(native service create --name web --replicas 2 --update-monitor 1s --update-delay 0s "$LAB_IMAGE" \
  sh -c 'echo started; sleep 1000' 2>&1)
[[ $said == *'converged'* ]] || fail "create said: $said"
alike service ls
alike service ls --filter name=web --format '{{.Name}} {{.Mode}} {{.Replicas}}'
alike inspect web
same "$(docker service ps web -q)" "$(native service ps web -q)" "the tasks"
same "$(docker service ps web --no-trunc --format '{{.Name}} {{.Node}} {{.DesiredState}}')" \
  "$(native service ps web --no-trunc --format '{{.Name}} {{.Node}} {{.DesiredState}}')" "the tasks' names"
said=$(native service scale web=3 2>&1)
[[ $said == *'converged'* ]] || fail "scale said: $said"
in_sequence native service update --detach --env-add COLOUR=green --label-add l=2 --publish-add 8099:99 --limit-memory 32m web >/dev/null
same '[COLOUR=green] 2 8099 33554432' "$(docker service inspect web --format \
  '{{.Spec.TaskTemplate.ContainerSpec.Env}} {{.Spec.Labels.l}} {{(index .Spec.EndpointSpec.Ports 0).PublishedPort}} {{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}}')" "the update"
in_sequence native service update --detach --env-rm COLOUR --publish-rm 99 web >/dev/null
same '[] []' "$(docker service inspect web --format \
  '{{json .Spec.TaskTemplate.ContainerSpec.Env}} {{json .Spec.EndpointSpec.Ports}}' | sed 's/null/[]/g')" "the removal"
in_sequence native service rollback --detach web >/dev/null
same '[COLOUR=green]' "$(docker service inspect web --format '{{.Spec.TaskTemplate.ContainerSpec.Env}}')" "rolled back"
eventually 60 running web 3/3
logs_told() { local said; said=$(native service logs web 2>&1); [[ $said =~ web\.[123]\.[a-z0-9]+@h1\ +\|\ started ]] || { echo "$said"; return 1; }; }
eventually 60 logs_told # a task runs a moment before its program says something

# told COMMAND...: the kinds of lines that go into a pipe; how often each comes depends on the moment.
told()
{
  "$@" 2>/dev/null </dev/null | sed -E 's/^[a-z0-9]{25}$/ID/; s/rolling back update: //; /^rollback: /d; s/progress: [0-9]+/progress: N/
    s/Waiting [0-9]+/Waiting N/; s/Service [a-z0-9]+ converged/Service converged/' | sort -u
}
told_alike() { same "$(told docker "$@")" "$(told native "$@")" "what is told of $*"; }
# Nothing here heeds TERM: an update would wait for ten seconds.
quick=(--update-monitor 1s --stop-signal KILL --replicas 2 "$LAB_IMAGE" sleep 1000)
same "$(told docker service create --name piped "${quick[@]}")" "$(told native service create --name piped2 "${quick[@]}")" "a service"
told_alike service scale piped=1
told_alike service scale piped=2 piped2=2
told_alike service scale --detach piped=1
told_alike service update --force piped
told_alike service rollback piped
told_alike service update --quiet --force piped
told_alike service rollback --quiet piped
same 'piped2 ' "$(told native service rm piped2 | tr '\n' ' ')" "rm"
drawn=$(DOCKER_CONFIG=$LAB/docker-config script -qec "$SKEP_BUILD/skep -H unix://$HOST_SOCKET service scale piped=2" /dev/null </dev/null)
[[ $drawn == *$'\e['*'running   [======='*'Service piped converged'* ]] || fail "no bars on a terminal: $drawn"
native service rm piped >/dev/null
refused 'no such service' native service ps nosuch
refused 'only be used with replicated' native service create --mode global --replicas 2 "$LAB_IMAGE"
[[ $(native status) == *'Nothing is wrong'* || $(native status) == *'web'* ]] || fail "no status"
same active "$(native status --format '{{.State}}')" "the state"
native service rm web >/dev/null

step "a stack"
mkdir "$LAB/stack"
printf 'TAG=lab\n' >"$LAB/stack/.env"
cat >"$LAB/stack/c.yml" <<'YAML'
version: "3.8"
x-common: &common {labels: {from: anchor}}
services:
  one:
    <<: *common
    image: busybox:${TAG}
    command: ["sleep", "1000"]
    environment: {A: "1", B: "${NONE:-two}"}
    deploy: {replicas: 2, update_config: {parallelism: 2, monitor: 1s}, resources: {limits: {cpus: "0.5", memory: 32M}}}
    ports: ["8081:80"]
    configs: [{source: c, target: /etc/c, mode: 0440}]
    volumes: ["data:/data:ro", "/tmp:/host"]
    networks: {back: {aliases: [other]}}
    healthcheck: {test: ["CMD", "true"], interval: 5s}
    stop_grace_period: 1s
networks: {back: {attachable: true}}
volumes: {data: {}}
configs: {c: {file: ./.env}}
YAML
native stack deploy -c "$LAB/stack/c.yml" --resolve-image never st >/dev/null
ours=$(docker service inspect st_one)
eventually 60 running st_one 2/2
alike stack ls --format '{{.Name}} {{.Services}}'
alike stack services st
same "$(docker stack ps st -q --no-trunc)" "$(native stack ps st -q)" "the stack's tasks"
# The same file by docker changes nothing.
(cd "$LAB/stack" && TAG=lab docker stack deploy -c c.yml --resolve-image never st >/dev/null 2>&1)
same "$(jq -S '.[0].Spec' <<<"$ours")" "$(docker service inspect st_one | jq -S '.[0].Spec')" "the stack's service"
sed 's/replicas: 2/replcas: 2/' "$LAB/stack/c.yml" >"$LAB/stack/bad.yml"
refused 'bad.yml:9: .*did you mean "replicas"' native stack deploy -c "$LAB/stack/bad.yml" st
native stack rm st >/dev/null
same '' "$(docker stack ls -q 2>/dev/null || docker stack ls --format '{{.Name}}')" "the stacks left"

step "containers"
status 7 run --rm "$LAB_IMAGE" sh -c 'exit 7'
status 127 run --rm "$LAB_IMAGE" nosuch
same hello "$(echo hello | native run -i --rm "$LAB_IMAGE" cat)" "what went through a container"
native run -d --name c1 -e COLOUR=red -p 8095:80 --label a=b "$LAB_IMAGE" \
  sh -c 'echo out; echo err >&2; sleep 1000' >/dev/null
same red "$(native exec c1 sh -c 'echo $COLOUR')" "exec"
status 3 exec c1 sh -c 'exit 3'
eventually 60 bash -c "[[ \$('$LAB_DOCKER' -H unix://$HOST_SOCKET logs c1 2>&1 | wc -l) == 2 ]]"
same out "$(native logs c1 2>/dev/null)" "its output"
same err "$(native logs c1 2>&1 >/dev/null)" "its errors"
alike port c1
alike inspect c1 --format '{{.Name}} {{.Config.Image}} {{.State.Status}} {{json .Config.Labels}}'
alike ps --format '{{.Names}} {{.Image}} {{.Ports}} {{.Networks}}'
alike ps -a --format 'table {{.Names}}\t{{.LocalVolumes}}\t{{.CreatedAt}}\t{{.Label "a"}}'
[[ $(script -qec "DOCKER_CONFIG=$LAB/docker-config $SKEP_BUILD/skep -H unix://$HOST_SOCKET run --rm -it $LAB_IMAGE tty" /dev/null </dev/null) == */dev/pts/* ]] ||
  fail "no terminal"
native update --memory 64m --memory-swap 128m --cpus 0.5 c1 >/dev/null
same '67108864 500000000' "$(docker inspect c1 --format '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}')" "limits that were changed"
refused 'one or more flags' native update c1
[[ $(native stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' c1) =~ ^c1\ [0-9.]+[KM]?i?B\ /\ 64MiB\ [1-9]$ ]] ||
  fail "stats: $(native stats --no-stream c1)"
[[ $(native stats --no-stream) == 'CONTAINER ID'*'CPU %'*'MEM USAGE / LIMIT'*c1* ]] || fail "the table of stats"
refused 'No such container' native stats --no-stream nosuch

step "cp"
mkdir -p "$LAB/tree/a"; echo deep >"$LAB/tree/a/deep"; ln -s a/deep "$LAB/tree/link"; echo one >"$LAB/tree/o,n&e"
native cp "$LAB/tree" c1:/tmp/ 2>/dev/null
native cp "$LAB/tree" c1:/tmp/as 2>/dev/null # /tmp/as is not there: the folder gets this name
native cp -q "$LAB/tree/o,n&e" 'c1:/tmp/t&w,o'
native cp -q "$LAB/tree/." c1:/root
same 'deep deep one deep' "$(docker exec c1 sh -c 'echo $(cat /tmp/tree/link /tmp/as/a/deep "/tmp/t&w,o" /root/link)')" "what came in"
native cp -q c1:/tmp/tree "$LAB/back"
diff -r "$LAB/tree" "$LAB/back" || fail "the tree came back changed"
mkdir "$LAB/into"
native cp -q c1:/tmp/tree "$LAB/into"
native cp -q 'c1:/tmp/t&w,o' "$LAB/into/x"
same 'deep one' "$(cat "$LAB/into/tree/a/deep") $(cat "$LAB/into/x")" "what came out"
same 'deep' "$(native cp c1:/tmp/tree/a/deep - | tar -xO)" "as a stream"
tar -C "$LAB/tree" -c a | native cp - c1:/tmp/as
refused 'Could not find the file' native cp c1:/nosuch "$LAB/no"
refused 'no such' native cp "$LAB/nosuch" c1:/tmp
refused 'cannot overwrite|directory' native cp "$LAB/tree" c1:/etc/passwd
refused 'between containers' native cp c1:/a c1:/b
[[ ! -e $LAB/no && -z $(find "$LAB" -maxdepth 1 -name '.skep-cp*') ]] || fail "something is left of what was refused"

step "commit, and disk"
made=$(native commit -m note -a me -c 'ENV MADE=yes' -c 'CMD ["true"]' c1 made:1)
same "$made" "$(docker image inspect made:1 --format '{{.Id}}')" "commit"
same 'yes note me' "$(docker image inspect made:1 --format '{{range .Config.Env}}{{println .}}{{end}}' | sed -n s/MADE=//p) $(
  docker image inspect made:1 --format '{{.Comment}} {{.Author}}')" "what was said of it"
native rmi made:1 >/dev/null
refused 'No such container' native commit nosuch made:2
refused 'digest' native commit c1 "made@sha256:$(printf %064d 0)"
alike system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
[[ $(native system df -v) == *'Images space usage:'*"${LAB_IMAGE%:*}"*'Containers space usage:'*c1*'Local Volumes'*'Build cache usage: 0B'* ]] ||
  fail "df -v: $(native system df -v)"
same "$(docker builder prune -f 2>/dev/null || echo 'Total reclaimed space: 0B')" "$(native builder prune -f)" "no cache"
native volume prune -f >/dev/null
same 'Total reclaimed space: 0B' "$(native volume prune -f)" "nothing to remove"
alike history "$LAB_IMAGE" --human=false --format '{{.Size}} {{.CreatedSince}}'

native pause c1 >/dev/null; same paused "$(docker inspect c1 --format '{{.State.Status}}')" "paused"
native unpause c1 >/dev/null
native rename c1 c2
native stop -t 1 c2 >/dev/null
native rm c2 >/dev/null
refused 'No such container' native rm c2

step "images and volumes"
alike images
alike images --format '{{json .}}'
native tag "$LAB_IMAGE" other:1
native save -o "$LAB/image.tar" other:1
native rmi other:1 >/dev/null
[[ $(native load -i "$LAB/image.tar") == *'Loaded image: other:1'* ]] || fail "not loaded"
alike history other:1 --format '{{.Size}}'
native volume create --label a=b vol1 >/dev/null
alike volume ls
alike volume ls --format '{{.Size}} {{.Links}}'
alike volume inspect vol1
native volume rm vol1 >/dev/null
[[ $(native events --since 5m --until 0s --filter type=volume) == *'volume create vol1'* ]] || fail "no event"
alike info --format '{{.Swarm.LocalNodeState}} {{.Name}} {{.Driver}}'
native swarm leave --force >/dev/null

step "the same command on skepd"
skep_start h2
HOST_SOCKET=$LAB/h2/skep.sock
native swarm init --advertise-addr "$(ip_of h2)" >/dev/null
alike node ls
native network create -d overlay net1 >/dev/null
alike network inspect net1
native service create --detach --name web --replicas 0 --network net1 --env A=1 "$LAB_IMAGE" sleep 1000 >/dev/null 2>&1
alike service ls --format '{{json .}}'
alike service ls
alike service inspect web
alike service inspect web --pretty
# What is not set, what Go prints otherwise, and templates of templates.
alike service inspect web --format '{{.CreatedAt}} {{.UpdateStatus}} {{.Version.Index}} {{.Spec.TaskTemplate.ContainerSpec.Hostname}}|{{.Spec.UpdateConfig.Delay}}'
alike service inspect web --format '{{.Spec.Labels.none}} {{.Spec.TaskTemplate.ForceUpdate}} {{.Spec.TaskTemplate.ContainerSpec.StopGracePeriod}}'
alike service inspect web --format '{{define "t"}}<{{.}}>{{end}}{{template "t" .Spec.Name}}{{range $i, $e := .Spec.TaskTemplate.ContainerSpec.Args}}{{$i}}={{$e}} {{end}}'
alike service inspect web --format '{{printf "%-8s|%5.1f|%03d|%q|%x|%d" .Spec.Name 1.25 7 "a" "b" "c"}} {{html "<a>"}} {{urlquery "a b"}} {{js "<"}}'
alike node inspect self --format '{{.CreatedAt}} {{.Status.Message}}|{{.ManagerStatus.Leader}} {{.Spec.Labels}}'
refused "at <.Spec.Nope>: can't evaluate field Nope in type swarm.ServiceSpec" native service inspect web --format '{{.Spec.Nope}}'
refused "at <.Spec.Nope>: can't evaluate field Nope in type swarm.ServiceSpec" docker service inspect web --format '{{.Spec.Nope}}'
in_sequence native service update --detach --env-add B=2 web >/dev/null
same '[A=1 B=2]' "$(docker service inspect web --format '{{.Spec.TaskTemplate.ContainerSpec.Env}}')" "the update"
printf x | native secret create s1 - >/dev/null
alike secret ls
native service rm web >/dev/null
native swarm leave --force >/dev/null

step "each command and option of docker is there, or said to be missing"
wait "$walks" || fail "commands are missing: $(<"$LAB/commands")"
cat "$LAB/commands"

step "the same requests as by the docker command, flag by flag"
wait "$asks" || fail "other requests: $(<"$LAB/requested")"
cat "$LAB/requested"
