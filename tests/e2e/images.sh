#!/bin/bash
# Images and volumes by the docker command against skepd: load, save, import, tag, show, pull, push, remove
# and prune, with dockerd's words where something is refused.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci skopeo busybox docker-registry jq python3 curl
lab_up 1
docker() { skep h1 "$@"; }
skep_start h1
field() { docker image inspect "$1" --format "{{$2}}"; }
tags() { docker images --format '{{.Repository}}:{{.Tag}}' | sort | tr '\n' ' '; }

step "import, show, tag"
lab_rootfs "$LAB/rootfs"
tar -C "$LAB/rootfs" -cf "$LAB/rootfs.tar" .
id=$(docker import --change 'CMD ["echo","from the image"]' --change 'ENV X=1' --change 'WORKDIR /tmp' \
  --message 'a message' "$LAB/rootfs.tar" bb:1)
same "$id" "$(field bb:1 .Id)" "id"
same 'a message [echo from the image]' "$(field bb:1 .Comment) $(field bb:1 .Config.Cmd)" "what import was told"
same 'from the image' "$(docker run --rm --network none bb:1)" "its command"
same '1 /tmp' "$(docker run --rm --network none bb:1 sh -c 'echo $X $PWD')" "its environment"
docker tag bb:1 copy:x
same 'bb:1 copy:x ' "$(tags)" "names"
same 1 "$(docker history -q bb:1 | wc -l)" "history"
# What its files are on a disk, however they came.
bytes=$(find "$LAB/rootfs" '(' -type f -o -type l ')' -printf '%s\n' | awk '{sum += $1} END {print sum}')
same "$bytes" "$(field bb:1 .Size)" "size"
same 'Imported from -' "$(docker inspect --format '{{.Comment}}' "$(gzip -c "$LAB/rootfs.tar" | docker import - bb:2)")" "told nothing"
same "$bytes" "$(field bb:2 .Size)" "size of what was packed"
docker rmi bb:2 >/dev/null
refused 'No such image: nosuch:latest' docker tag nosuch copy:y
refused 'No such image' docker image inspect nosuch
refused 'not a valid change command' docker import --change 'RUN true' "$LAB/rootfs.tar"
head -c 3000 "$LAB/rootfs.tar" >"$LAB/cut.tar"
refused 'unexpected EOF' docker import "$LAB/cut.tar"
echo 'no archive, but longer than a block would be if it were one: '{1..20} >"$LAB/text"
refused 'invalid tar header' docker import "$LAB/text"
gzip -c "$LAB/cut.tar" | refused 'unexpected EOF' docker import -
gzip -1c "$LAB/rootfs.tar" >"$LAB/rootfs.tgz"
head -c 9000 "$LAB/rootfs.tgz" | refused 'gzip data ends early' docker import -
same 1 "$(docker images -aq | sort -u | wc -l)" "images after broken imports"
same 'copy:x ' "$(docker images --filter reference='cop*' --format '{{.Repository}}:{{.Tag}}' | tr '\n' ' ')" "by reference"
refused 'not supported' docker search busybox

step "commit: what a container changed is a layer"
docker run -d --name work --network none bb:1 \
  sh -c 'echo new >/new; rm /bin/vi; rm -r /var; mkdir /var; echo own >/var/own; touch /done; exec sleep 1000' >/dev/null
is_done() { docker exec work test -e /done; }
eventually 60 is_done
made=$(docker commit --author me --message why --change 'CMD ["cat","/new","/var/own"]' --change 'ENV Y=$X-2' \
  -c 'EXPOSE 80 53/udp' -c 'LABEL a=b' work made:1)
same running "$(docker inspect work --format '{{.State.Status}}')" "the container afterwards"
same "$made me why map[a:b] 53/udp 80/tcp " \
  "$(field made:1 '.Id}} {{.Author}} {{.Comment}} {{.Config.Labels}} {{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end')" \
  "what commit was told"
same $'new\nown' "$(docker run --rm --network none made:1)" "its command"
same '1-2 own' "$(docker run --rm --network none made:1 sh -c '[ ! -e /bin/vi ] && echo $Y $(ls /var)')" "its layer"
same 2 "$(docker history -q made:1 | wc -l)" "its history"
[[ $(docker history --no-trunc --format '{{.CreatedBy}}' made:1 | head -1) == 'sh -c echo new >/new; rm '* ]] || fail "made by: $(docker history made:1)"
bytes=$(field made:1 .Size)
refused 'not a valid change command' docker commit --change 'RUN true' work
refused 'No such container' docker commit nosuch
docker tag made:1 made:2
docker save -o "$LAB/made.tar" made:1 made:2 # one image, told of once
docker rmi made:2 >/dev/null
docker save -o "$LAB/made.tar" made:1
docker rm -f work >/dev/null
docker rmi made:1 >/dev/null
docker load -qi "$LAB/made.tar" >/dev/null
same "$made new own" "$(field made:1 .Id) $(docker run --rm --network none made:1 | tr '\n' ' ' | sed 's/ $//')" "saved and loaded"
same "$bytes" "$(field made:1 .Size)" "its size"
# The layer below is another image's, too.
same 2 "$(docker rmi made:1 | grep -c Deleted)" "the image and its layer"
told() { docker events --since "$(($(date +%s) - 600))" --until "$(($(date +%s) + 1))" --filter type=image --filter event="$1" \
  --format '{{.Actor.ID}} {{.Actor.Attributes.name}}' | tail -1; }
same "$made $made / $made $made" "$(told untag) / $(told delete)" "events"
same "$made $made"$'\n'"$made $made" "$(docker events --since "$(($(date +%s) - 600))" --until "$(($(date +%s) + 1))" --filter type=image \
  --filter event=save --format '{{.Actor.ID}} {{.Actor.Attributes.name}}')" "saves"

step "commit: every kind of file comes through"
docker run -d --name kinds --network none --cap-add MKNOD bb:1 \
  sh -c 'mkdir -p /k/deep/er; echo one >/k/file; ln /k/file /k/other; ln /k/other /k/deep/third; ln -s ../file /k/deep/link
    mknod /k/pipe p; mknod /k/char c 1 3; mknod /k/block b 7 9; chmod 4751 /k/other; chown 5:6 /k/deep
    head -c 5000000 /dev/zero >/k/zeros; truncate -s 3m /k/hole; truncate -s 3m /k/hole; echo end >>/k/hole
    rm -r /bin/vi /usr; mkdir /usr; echo new >/usr/new; n=/k; for i in 1 2 3; do n=$n/$(printf %0100d 7); mkdir $n; done; echo x >$n/x
    touch -d "2001-02-03 04:05:06" /k/deep/er; touch /done; exec sleep 1000' >/dev/null
finished() { docker exec kinds test -e /done; }
eventually 60 finished
# What a program may do, and what a user wrote on a file: for which busybox has no command.
root=$(on h1 sh -c "ls -d $LAB/h1/skep/images/layers/$(docker inspect kinds --format '{{.Id}}')/merged")
on h1 python3 -c 'import os, sys
os.setxattr(sys.argv[1] + "/k/zeros", "user.note", b"a\0b\n")
os.setxattr(sys.argv[1] + "/k/deep", "user.note", b"dir")
os.setxattr(sys.argv[1] + "/k/hole", "security.capability", bytes([1,0,0,2,0,32,0,0,0,0,0,0,0,0,0,0,0,0,0,0]))' "$root"
docker commit kinds kinds:1 >/dev/null
docker run -d --name shown --network none kinds:1 sleep 1000 >/dev/null
# One line for each file: kind, rights, owner, size or device, time, target, content, names it has, attributes.
listed()
{
  on h1 python3 - "$LAB/h1/skep/images/layers/$(docker inspect "$1" --format '{{.Id}}')/merged" <<'PY'
import os, stat, sys, hashlib
top = sys.argv[1]
first = {}
for folder, folders, files in os.walk(top + "/k"):
    folders.sort()
    for name in sorted(folders + files):
        path = folder + "/" + name
        s = os.lstat(path)
        kind = stat.S_IFMT(s.st_mode)
        content = hashlib.sha256(open(path, "rb").read()).hexdigest() if kind == stat.S_IFREG else os.readlink(path) if kind == stat.S_IFLNK else ""
        attributes = sorted((a, os.getxattr(path, a, follow_symlinks=False)) for a in os.listxattr(path, follow_symlinks=False)
                            if a.startswith(("user.", "security.cap")))
        print(path[len(top):], oct(s.st_mode), s.st_uid, s.st_gid, s.st_size if kind == stat.S_IFREG else 0, s.st_rdev, int(s.st_mtime),
              content, s.st_nlink if kind != stat.S_IFDIR else 0, first.setdefault((s.st_dev, s.st_ino), path[len(top):]), attributes)
print(sorted(os.listdir(top + "/usr")), os.path.exists(top + "/bin/vi"))
PY
}
listed kinds >"$LAB/kinds"
listed shown >"$LAB/shown"
diff "$LAB/kinds" "$LAB/shown" || fail "what came through commit is another"
for what in "'user.note', b'a" "'security.capability', b" "0o10644" "0o60644" "/k/other 0o104751" "3 /k/file"; do
  grep -q -e "$what" "$LAB/shown" || fail "no $what: $(cat "$LAB/shown")"
done
docker rm -f kinds shown >/dev/null
docker rmi kinds:1 >/dev/null

step "save, remove, load"
docker save -o "$LAB/saved.tar" bb:1
refused 'reference does not exist' docker save -o "$LAB/no.tar" nosuch
docker create --name user bb:1 >/dev/null
same 'Untagged: copy:x' "$(docker rmi copy:x)" "one name of two"
refused 'unable to remove repository reference "bb:1" .must force. - container [0-9a-f]{12} is using' docker rmi bb:1
docker rm user >/dev/null
grep -q "Deleted: $id" <<<"$(docker rmi bb:1)" || fail "not deleted"
same '' "$(docker images -q)" "images"
grep -qx 'Loaded image: bb:1' <<<"$(docker load -i "$LAB/saved.tar")" || fail "load"
same "$id" "$(field bb:1 .Id)" "the same image again"
docker tag bb:1 bb:2
docker import "$LAB/rootfs.tgz" other:1 >/dev/null
docker save -o "$LAB/both.tar" bb other:1
same 2 "$(tar -xOf "$LAB/both.tar" manifest.json | jq length)" "images of two names"
docker rmi bb:1 bb:2 other:1 >/dev/null
same 'Loaded image: bb:1,Loaded image: bb:2,Loaded image: other:1,' "$(docker load -i "$LAB/both.tar" | sort | tr '\n' ,)" "both"
docker rmi bb:2 other:1 >/dev/null
refused 'reference does not exist' docker save -o "$LAB/no.tar" bb:1 nosuch
head -c 5000 /dev/zero >"$LAB/bad.tar"
refused . docker load -i "$LAB/bad.tar"
# An archive goes with its request, which may end a moment after its answer.
no_archives() { [[ -z $(find "$LAB/h1/skep/tmp" -type f) ]]; }
eventually 60 no_archives

step "a registry: push, pull, digests"
cat >"$LAB/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $LAB/registry}}
http: {addr: "127.0.0.1:5000"}
Y
start h1 registry docker-registry serve "$LAB/registry.yml"
skep_stop h1
skep_start h1 --insecure-registry 127.0.0.1:5000 --insecure-registry 127.0.0.1:5001
docker tag bb:1 127.0.0.1:5000/some/bb:1
answers() { on h1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/5000'; }
eventually 60 answers
same 'Login Succeeded' "$(echo x | docker login --username me --password-stdin 127.0.0.1:5000 2>/dev/null)" "login"
echo x | refused 'connection refused' docker login --username me --password-stdin 127.0.0.1:5999
# manifest_of NAME TAG: what the registry says of it.
manifest_of()
{
  on h1 curl -sSI --max-time 20 -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:5000/v2/$1/manifests/$2" |
    tr -d '\r' | awk '{name = tolower($1)} name == "docker-content-digest:" {digest = $2}
      name == "content-length:" {size = $2} END {print digest " size: " size}'
}
docker push 127.0.0.1:5000/some/bb:1 >"$LAB/push"
same "1: digest: $(manifest_of some/bb 1)" "$(tail -n 1 "$LAB/push")" "what was pushed"
docker rmi 127.0.0.1:5000/some/bb:1 bb:1 >/dev/null
docker pull 127.0.0.1:5000/some/bb:1 >"$LAB/pull"
grep -q '^Digest: sha256:' "$LAB/pull" && grep -q '^Status: Downloaded newer image' "$LAB/pull" || fail "pull: $(cat "$LAB/pull")"
grep -q 'Image is up to date' <<<"$(docker pull 127.0.0.1:5000/some/bb:1)" || fail "second pull"
refused 'not found|unknown|manifest' docker pull 127.0.0.1:5000/some/bb:9
docker run --rm --network none 127.0.0.1:5000/some/bb:1 >/dev/null
same "$id" "$(field 127.0.0.1:5000/some/bb:1 .Id)" "the same image from the registry"

step "mirrors: docker.io's images come from there first, by a reload too"
docker tag 127.0.0.1:5000/some/bb:1 127.0.0.1:5000/library/mirrored:1
docker push 127.0.0.1:5000/library/mirrored:1 >/dev/null
docker rmi 127.0.0.1:5000/library/mirrored:1 >/dev/null
refused . docker pull mirrored:1
conf=$LAB/h1/daemon.json
echo '{"registry-mirrors": ["http://127.0.0.1:5999", "http://127.0.0.1:5000"], "insecure-registries": ["10.0.0.0/8"]}' >"$conf"
skep_stop h1
skep_start h1 --config-file "$conf"
docker pull mirrored:1 >/dev/null
same "$id" "$(field mirrored:1 .Id)" "the image, under its own name"
same '[http://127.0.0.1:5999/ http://127.0.0.1:5000/] [127.0.0.0/8 10.0.0.0/8]' \
  "$(docker info --format '{{.RegistryConfig.Mirrors}} {{.RegistryConfig.InsecureRegistryCIDRs}}')" "info"
docker rmi mirrored:1 >/dev/null
refused 'not found|unknown|no such host|lookup|refused|unreachable' docker pull mirrored:9
echo '{"registry-mirrors": []}' >"$conf"
signal h1 skepd HUP
no_mirrors() { [[ $(docker info --format '{{.RegistryConfig.Mirrors}}') == '[]' ]]; }
eventually 60 no_mirrors
refused . docker pull mirrored:1
echo '{"registry-mirrors": ["ftp://127.0.0.1:5000"]}' >"$conf"
signal h1 skepd HUP
eventually 60 grep -q 'invalid mirror: unsupported scheme' "$LAB/h1/skepd.log"
same '[]' "$(docker info --format '{{.RegistryConfig.Mirrors}}')" "mirrors after a refused reload"
echo '{"registry-mirrors": ["http://127.0.0.1:5000"]}' >"$conf"
signal h1 skepd HUP
mirrored() { docker pull mirrored:1; }
eventually 60 mirrored
docker rmi mirrored:1 >/dev/null
skep_stop h1
skep_start h1 --insecure-registry 127.0.0.1:5000 --insecure-registry 127.0.0.1:5001

step "a registry that goes away in the middle of a layer: said, and nothing is left"
mkdir "$LAB/big"
head -c 5000000 /dev/urandom >"$LAB/big/random"
tar -C "$LAB/big" -c random | docker import - 127.0.0.1:5000/some/big:1 >/dev/null
docker push 127.0.0.1:5000/some/big:1 >/dev/null
docker rmi 127.0.0.1:5000/some/big:1 >/dev/null
# Stands before the registry until it has passed on a part of the layer.
cat >"$LAB/gate.py" <<'P'
import os, socket, threading
left = 1000000
def pump(source, target, counted):
    global left
    while data := source.recv(65536):
        left -= len(data) if counted else 0
        if left < 0:
            os._exit(0)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
gate = socket.create_server(("127.0.0.1", 5001))
print("ready", flush=True)
while True:
    client, _ = gate.accept()
    registry = socket.create_connection(("127.0.0.1", 5000))
    threading.Thread(target=pump, args=(client, registry, False), daemon=True).start()
    threading.Thread(target=pump, args=(registry, client, True), daemon=True).start()
P
start h1 gate python3 "$LAB/gate.py"
eventually 60 grep ready "$LAB/h1/gate.log"
stored() { find "$LAB/h1/skep/images/blobs" -type f | sort; }
before=$(stored)
refused 'unexpected EOF|connection refused|connection reset' docker pull 127.0.0.1:5001/some/big:1
as_before() { same "$before" "$(stored)" "what is stored after half a layer"; }
eventually 60 as_before
no_halves() { same '' "$(find "$LAB/h1/skep/images/tmp" -mindepth 1)" "half layers"; }
eventually 60 no_halves
refused 'No such image' docker image inspect 127.0.0.1:5001/some/big:1

step "pulled by four at once: fetched once"
layer_gets() { grep -c '"GET /v2/some/big/blobs/sha256:'"$layer" "$LAB/h1/registry.log" || true; }
layer=$(on h1 skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5000/some/big:1 | jq -r '.layers[0].digest')
layer=${layer#sha256:}
before=$(layer_gets)
pulls=()
for _ in 1 2 3 4; do
  docker pull --quiet 127.0.0.1:5000/some/big:1 >/dev/null &
  pulls+=($!)
done
for pull in "${pulls[@]}"; do wait "$pull" || fail "a pull beside others"; done
# (A registry writes down what it was asked once it has answered.)
fetched() { (($(layer_gets) > before)); }
eventually 60 fetched
same $((before + 1)) "$(layer_gets)" "times that the layer was fetched"
docker rmi 127.0.0.1:5000/some/big:1 >/dev/null

step "what it all takes"
grep -qE '^Images +2 ' <<<"$(docker system df)" || grep -qE '^Images +1 ' <<<"$(docker system df)" || fail "df: $(docker system df)"

step "prune"
docker tag 127.0.0.1:5000/some/bb:1 keep:1
docker create --name user keep:1 >/dev/null
docker image prune -af >/dev/null
[[ -n $(docker images -q) ]] || fail "an image that a container stands on was pruned"
docker rm user >/dev/null
grep -q -i deleted <<<"$(docker image prune -af)" || fail "nothing pruned"
same '' "$(docker images -q)" "images"

step "volumes"
same v1 "$(docker volume create --label a=b v1)" "name"
same v1 "$(docker volume create v1)" "the same again"
docker volume create >/dev/null
same 2 "$(docker volume ls -q | wc -l)" "volumes"
same v1 "$(docker volume ls -q --filter label=a=b)" "by label"
same local "$(docker volume inspect v1 --format '{{.Driver}}')" "driver"
refused '[Nn]o such volume' docker volume inspect nosuch
refused 'includes invalid characters' docker volume create 'bad name'
refused 'error looking up volume plugin' docker volume create -d nosuch v3
docker load -i "$LAB/saved.tar" >/dev/null
docker create --name user -v v1:/v bb:1 >/dev/null
refused 'volume is in use' docker volume rm v1
docker rm user >/dev/null
docker volume rm v1 >/dev/null
docker volume prune -f >/dev/null
same '' "$(docker volume ls -q)" "volumes"

step "tasks: what is here starts unasked; a registry with a password, and one that goes away"
cat >"$LAB/locked.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $LAB/registry}}
http: {addr: "127.0.0.1:5003"}
auth: {htpasswd: {realm: lab, path: $LAB/htpasswd}}
Y
# shellcheck disable=SC2016 # the text of a hash
echo 'keeper:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2' >"$LAB/htpasswd"
start h1 locked docker-registry serve "$LAB/locked.yml"
locked=127.0.0.1:5003/some/bb:1
logs_in() { echo 'correct horse' | docker login --username keeper --password-stdin 127.0.0.1:5003; }
eventually 60 logs_in
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
create() { docker service create --quiet --detach --restart-condition none --stop-grace-period 1s --name "$@" >/dev/null 2>&1; }
said() { docker service ps "$1" --no-trunc --format '{{.Image}} {{.CurrentState}} {{.Error}}'; }
is() { said "$1"; said "$1" | has "$2" -E; }
create denied --no-resolve-image "$locked" sleep 100000
eventually 60 is denied 'Rejected.*(unauthorized|authentication required)'
create known --no-resolve-image --with-registry-auth "$locked@$(sed -n 's/^Digest: //p' "$LAB/pull")" sleep 100000
eventually 60 is known 'bb:1@sha256:[0-9a-f]{64} Running'
in_sequence docker service update --detach --quiet --no-resolve-image --with-registry-auth --force denied >/dev/null
eventually 60 is denied 'bb:1 Running'
rm "$LAB/h1/gate.log"
start h1 gate python3 "$LAB/gate.py"
eventually 60 grep ready "$LAB/h1/gate.log"
create cut --no-resolve-image 127.0.0.1:5001/some/big:1 sleep 100000
eventually 60 is cut 'Rejected.*(unexpected EOF|connection refused|connection reset)'
eventually 60 no_halves
# Takes connections and answers none of them.
start h1 mute python3 -c 'import socket
mute = socket.create_server(("127.0.0.1", 5004))
print("ready", flush=True)
kept = []
while True:
    kept.append(mute.accept())
    print("asked", flush=True)'
eventually 60 grep ready "$LAB/h1/mute.log"
docker tag bb:1 127.0.0.1:5004/here/bb:1
create here --no-resolve-image 127.0.0.1:5004/here/bb:1 sleep 100000
eventually 60 is here 'Running'
if grep asked "$LAB/h1/mute.log"; then fail "a registry was asked for an image that is here"; fi
docker service rm denied known cut here >/dev/null
ended() { [[ -z $(docker ps -aq) ]]; }
eventually 60 ended
docker swarm leave --force >/dev/null
docker image prune -af >/dev/null
same 0 "$(find "$LAB/h1/skep/images/blobs" -type f | wc -l)" "blobs left"
skep_stop h1
