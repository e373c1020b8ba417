#!/bin/bash
# Services are pinned to the digest that a registry has under their image's name, and bound to its
# platforms: by the docker command and by skep against skepd, and by docker against a stock engine. What
# they make of the same commands, and what both engines answer of the same images, is held side by side.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker conmon crun umoci skopeo busybox docker-registry jq curl python3
lab_up 2
registry=$(ip_of h1):5000 locked=$(ip_of h1):5003 mute=$(ip_of h1):5004 nobody=$(ip_of h1):5999
insecure=()
for address in "$registry" "$locked" "$mute" "$nobody"; do insecure+=(--insecure-registry "$address"); done

step "registries: an open one, one with a password, and one that never answers"
registry_start()
{
  printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n%s\n' "$LAB/registry" "$2" "${3:-}" >"$LAB/$1.yml"
  start h1 "$1" docker-registry serve "$LAB/$1.yml"
}
# shellcheck disable=SC2016 # the text of a hash
echo 'keeper:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2' >"$LAB/htpasswd"
registry_start open "$registry"
registry_start locked "$locked" "auth: {htpasswd: {realm: lab, path: $LAB/htpasswd}}"
start h1 mute python3 -c "import socket
mute = socket.create_server(('$(ip_of h1)', 5004))
print('ready', flush=True)
kept = []
while True:
    kept.append(mute.accept())
    print('asked', flush=True)"
skep_start h1 "${insecure[@]}"
stock_start h2 "${insecure[@]}"
eventually 60 grep ready "$LAB/h1/mute.log"
answers() { on h1 curl -s "http://$1/v2/"; }
eventually 60 answers "$registry"
eventually 60 answers "$locked"

lab_rootfs "$LAB/rootfs"
tar -C "$LAB/rootfs" -cf "$LAB/rootfs.tar" .
# give NAME TEXT: pushes an image whose file /is says that text, and keeps it here.
give()
{
  echo "$2" >"$LAB/is"
  cp "$LAB/rootfs.tar" "$LAB/image.tar"
  tar -C "$LAB" -rf "$LAB/image.tar" is
  skep h1 import "$LAB/image.tar" "$registry/$1" >/dev/null
  skep h1 push "$registry/$1" >/dev/null
}
digest_of() { on h1 curl -sI -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
  -H 'Accept: application/vnd.oci.image.manifest.v1+json' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
  "http://$registry/v2/${1%:*}/manifests/${1#*:}" | sed -n 's/^Docker-Content-Digest: \([0-9a-z:]*\).*/\1/p'; }
give app:1 one
give app:2 two
one=$(digest_of app:1) two=$(digest_of app:2)
[[ $one == sha256:* && $two == sha256:* && $one != "$two" ]] || fail "digests: '$one' '$two'"
# A list of both, for different machines.
on h1 python3 - "$registry" "$one" "$two" <<'P'
import json, sys, urllib.request
registry, one, two = sys.argv[1:]
types = ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"]
def entry(digest, platform):
    asked = urllib.request.Request(f"http://{registry}/v2/app/manifests/{digest}", headers={"Accept": ", ".join(types)})
    with urllib.request.urlopen(asked) as answer:
        return {"mediaType": answer.headers["Content-Type"], "digest": digest, "size": len(answer.read()), "platform": platform}
kind = "application/vnd.docker.distribution.manifest.list.v2+json"
document = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [
    entry(one, {"architecture": "amd64", "os": "linux"}), entry(two, {"architecture": "arm", "os": "linux", "variant": "v7"}),
    entry(two, {"architecture": "amd64", "os": "windows", "os.version": "10.0.1", "os.features": ["win32k"]})]})
urllib.request.urlopen(urllib.request.Request(f"http://{registry}/v2/app/manifests/many", method="PUT",
                                              data=document.encode(), headers={"Content-Type": kind}))
P

step "what the API answers is what a stock engine answers"
ask() { curl -s --max-time 60 --unix-socket "$1" -w '\n%{http_code}' "${@:3}" "http://d/v1.41/distribution/$2/json"; }
asks_ours() { ask "$LAB/h1/skep.sock" "$@"; }
asks_stock() { ask "$LAB/h2/docker.sock" "$@"; }
for image in app:1 app:2 app:many "app@$one" "app:2@$one"; do
  wanted=$(asks_stock "$registry/$image") got=$(asks_ours "$registry/$image")
  same "$(head -n1 <<<"$wanted" | jq -S .)" "$(head -n1 <<<"$got" | jq -S .)" "$image"
  same 200 "$(tail -n1 <<<"$got")" "status of $image"
done
same 3 "$(asks_ours "$registry/app:many" | head -n1 | jq '.Platforms | length')" "platforms of a list"
for image in "$registry/app:9" "$registry/app" "$registry/nosuch:1" "$nobody/app:1" Bad:IMAGE "$registry/app@sha256:12" "${one#*:}" \
  "$registry/app@sha256:$(printf %064d 7)"; do
  same "$(asks_stock "$image" | tail -n1)" "$(asks_ours "$image" | tail -n1)" "status of $image (stock said: $(asks_stock "$image" | head -n1), ours: $(asks_ours "$image" | head -n1))"
done
key=$(printf '{"username":"keeper","password":"correct horse","serveraddress":"%s"}' "$locked" | base64 -w0)
# Without one, stock says 500: that its own end has none to give.
for auth in e30= 'no base64' "$(base64 -w0 <<<'{"username":"keeper","password":"wrong"}')"; do
  same 401 "$(asks_ours "$locked/app:1" -H "X-Registry-Auth: $auth" | tail -n1)" "status with $auth"
done
same 401 "$(asks_ours "$locked/app:1" | tail -n1)" "status without a password"
same "$(asks_stock "$locked/app:1" -H "X-Registry-Auth: $key" | head -n1 | jq -S .)" \
  "$(asks_ours "$locked/app:1" -H "X-Registry-Auth: $key" | head -n1 | jq -S .)" "answer with a password"
same 200 "$(asks_ours "$locked/app:1" -H "X-Registry-Auth: $key" | tail -n1)" "status with a password"

step "a registry that never answers: an error in time, and nothing runs on for a client that has left"
skopeos() { on h1 pgrep -c skopeo || true; }
asked() { [[ $(grep -c asked "$LAB/h1/mute.log") -ge $1 ]]; }
curl -s --max-time 60 --unix-socket "$LAB/h1/skep.sock" -w '\n%{http_code} %{time_total}' "http://d/distribution/$mute/app:1/json" >"$LAB/late" &
late=$!
curl -s --max-time 60 --unix-socket "$LAB/h1/skep.sock" "http://d/distribution/$mute/app:2/json" >/dev/null &
leaves=$!
eventually 60 asked 2
kill "$leaves"
wait "$leaves" || true
one_left() { [[ $(skopeos) -le 1 ]]; }
eventually 60 one_left

step "service create and update by three commands: the same image, platforms and warnings"
docker_ours() { skep h1 "$@"; }
docker_stock() { stock h2 "$@"; }
native() { DOCKER_CONFIG=$LAB/docker-config "$SKEP_BUILD/skep" -H "unix://$LAB/h1/skep.sock" "$@"; }
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
stock h2 swarm init --advertise-addr "$(ip_of h2)" >/dev/null
logs_in() { echo 'correct horse' | "$1" login --username keeper --password-stdin "$locked"; }
eventually 60 logs_in docker_ours
spec() { "$1" service inspect "$2" | jq -Sc '.[0].Spec.TaskTemplate | [.ContainerSpec.Image, .Placement.Platforms]'; }
# all WANTED WHAT COMMAND...: what comes of it for the service that is last in the command, by each; what
# is said is that of stock.
all()
{
  local wanted=$1 what=$2 by said=; shift 2
  for by in docker_stock docker_ours native; do
    local words=("$@")
    [[ $by != native ]] || words=("${words[@]/#a-/b-}") # of the same swarm
    in_sequence "$by" "${words[@]}" >/dev/null 2>"$LAB/said" || fail "$by ${words[*]}: $(cat "$LAB/said")"
    [[ $by == docker_stock ]] && said=$(<"$LAB/said")
    same "$said" "$(<"$LAB/said")" "what $by said ($what)"
    local last=${words[-1]}
    [[ ${words[1]} != create ]] || last=$(printf '%s\n' "${words[@]}" | grep '^[ab]-')
    same "$wanted" "$(spec "$by" "$last")" "$what by $by"
  done
}
create() { all "$1" "$2" service create --detach --quiet --constraint node.hostname==nowhere --name "${@:3}"; }
linux='[{"Architecture":"amd64","OS":"linux"}]'
create "[\"$registry/app:1@$one\",$linux]" "a tag" a-tag "$registry/app:1"
create "[\"$registry/app@$one\",$linux]" "a digest" a-digest "$registry/app@$one"
create "[\"$registry/app:many@$(digest_of app:many)\",[{\"Architecture\":\"amd64\",\"OS\":\"linux\"},{\"OS\":\"linux\"},{\"Architecture\":\"amd64\",\"OS\":\"windows\"}]]" \
  "a list" a-list "$registry/app:many"
create "[\"$registry/app:1\",null]" "not to be asked" a-plain --no-resolve-image "$registry/app:1"
create "[\"$registry/app:latest\",null]" "no such tag" a-missing "$registry/app"
has 'could not be accessed on a registry to record' <"$LAB/said" || fail "no warning: $(cat "$LAB/said")"
create "[\"$nobody/app:1\",null]" "nobody answers" a-nobody "$nobody/app:1"
create "[\"$locked/app:1@$one\",$linux]" "a password" a-locked --with-registry-auth "$locked/app:1"
update() { all "$1" "$2" service update --detach --quiet "${@:3}"; }
update "[\"$registry/app:1@$one\",$linux]" "another variable" --env-add A=1 a-tag
update "[\"$registry/app:2@$two\",$linux]" "another image" --image "$registry/app:2" a-tag
update "[\"$registry/app:2\",null]" "another image, not to be asked" --no-resolve-image --image "$registry/app:2" a-plain
update "[\"$nobody/app:2\",$linux]" "another image that nobody has" --image "$nobody/app:2" a-tag

step "stack deploy: always, changed, never"
mkdir "$LAB/stack"
compose() { printf 'version: "3.8"\nservices:\n  s: {image: "%s", deploy: {placement: {constraints: ["node.hostname == nowhere"]}}}\n' "$1" >"$LAB/stack/c.yml"; }
# deploy IMAGE HOW WANTED: by each, and what the service's image is then.
deploy()
{
  local by stack
  compose "$1"
  for by in docker_stock docker_ours native; do
    [[ $by == native ]] && stack=b || stack=a
    in_sequence "$by" stack deploy -c "$LAB/stack/c.yml" --resolve-image "$2" "$stack" >/dev/null 2>&1 || fail "$by stack deploy ($2)"
    same "$3" "$("$by" service inspect "${stack}_s" --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}')" "deployed by $by ($1, $2)"
  done
}
give moving:1 first
first=$(digest_of moving:1)
deploy "$registry/moving:1" never "$registry/moving:1"
deploy "$registry/moving:1" always "$registry/moving:1@$first"
give moving:1 second
second=$(digest_of moving:1)
deploy "$registry/moving:1" changed "$registry/moving:1@$first"
deploy "$registry/moving:1" never "$registry/moving:1@$first"
deploy "$registry/moving:1" always "$registry/moving:1@$second"
deploy "$registry/app:1" changed "$registry/app:1@$one"
deploy "$registry/app:2" never "$registry/app:2"

step "what is pinned is what runs, also when the tag has moved and when the registry is gone"
skep h1 service create --detach --quiet --stop-grace-period 1s --name runs "$registry/moving:1" sh -c 'cat /is; exec sleep 100000' >/dev/null
logged() { skep h1 service logs --raw runs | grep -c "$1"; }
said() { [[ $(logged "$1" || true) == "$2" ]]; }
eventually 60 said second 1
give moving:1 third
in_sequence skep h1 service scale --detach runs=2 >/dev/null
eventually 60 said second 2
stop h1 open
skep h1 service create --detach --quiet --no-resolve-image --stop-grace-period 1s --name gone --restart-condition none "$registry/moving:1@$second" \
  sh -c 'cat /is; exec sleep 100000' >/dev/null
is_up() { skep h1 service ps gone --format '{{.CurrentState}}' | has '^Running'; }
eventually 60 is_up

step "the registry that never answered"
wait "$late" || fail "curl: $(cat "$LAB/late")"
read -r status took <<<"$(tail -n1 "$LAB/late")"
same 500 "$status" "status"
has "did not answer within 15 s" <"$LAB/late" || fail "said: $(cat "$LAB/late")"
((${took%.*} >= 14)) || fail "it took $took s"
none_left() { [[ $(skopeos) == 0 ]]; }
eventually 60 none_left
skep h1 service rm runs gone >/dev/null
ended() { [[ -z $(skep h1 ps -aq) ]]; }
eventually 60 ended
skep_stop h1
stock_stop h2
