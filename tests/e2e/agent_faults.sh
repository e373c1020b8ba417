#!/bin/bash
# What goes wrong under a task is said in its error, costs nobody else, and is over when its cause is: a
# runtime that fails, a monitor that is killed, cgroups that are gone, a full disk, links that lead out
# of the container, clients that go away; what a lost life left is taken away.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox curl jq
lab_up 1
docker() { skep h1 "$@"; }

step "a node whose disk is a small one"
install -d -m 700 "$LAB/h1/skep"
on h1 mount -t tmpfs -o size=24m,mode=700 tmpfs "$LAB/h1/skep"
lab_rootfs "$LAB/rootfs"
tar -C "$LAB/rootfs" -cf "$LAB/rootfs.tar" .
on h1 "$SKEP_BUILD/tests/interop/interop_import_image" "$LAB/h1/skep/images" "$LAB/rootfs.tar" "$LAB_IMAGE"
skep_start h1
docker swarm init --advertise-addr "$(ip_of h1)" >/dev/null
create() { docker service create --detach --restart-delay 100ms --stop-grace-period 1s --name "$@" >/dev/null 2>&1; }
replicas() { [[ $(docker service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
said() { docker service ps "$1" --no-trunc --format '{{.CurrentState}} {{.Error}}'; }
failed() { said "$1" | grep -Eq "$2"; }
create calm "$LAB_IMAGE" sleep 100000
eventually 60 replicas calm 1/1
# A task runs before its program is the one it was told to be: crun's own comes first.
sleeps() { on h1 pgrep -x -f "sleep $1"; }
eventually 60 sleeps 100000
calm=$(sleeps 100000)

step "the runtime fails: its words are the task's error; afterwards tasks run again"
cp "$(command -v crun)" "$LAB/crun.real"
# shellcheck disable=SC2016 # for the wrapper
printf '#!/bin/sh\n[ ! -e %s/broken ] || { echo "the runtime is broken on purpose" >&2; exit 1; }\nexec %s/crun.real "$@"\n' \
  "$LAB" "$LAB" >"$LAB/crun"
chmod 755 "$LAB/crun"
on h1 mount --bind "$LAB/crun" "$(command -v crun)"
touch "$LAB/broken"
create unlucky "$LAB_IMAGE" sleep 100002
eventually 60 failed unlucky '(Rejected|Failed).*broken on purpose'
rm "$LAB/broken"
eventually 60 replicas unlucky 1/1

step "a monitor is killed: its task says so and is replaced"
container=$(docker ps --quiet --no-trunc --filter label=com.docker.swarm.service.name=unlucky)
monitor=$(on h1 pgrep -f "^[^ ]*conmon .*$container")
on h1 kill -KILL "$monitor"
eventually 60 failed unlucky 'Failed.*monitor \(conmon\) ended without leaving an exit status'
eventually 60 replicas unlucky 1/1
docker service rm unlucky >/dev/null
none() { ! on h1 pgrep -x -f "$1"; }
eventually 60 none 'sleep 100002'

step "cgroups are not there: said, and over with it"
on h1 mount -t tmpfs -o ro tmpfs /sys/fs/cgroup
create groupless "$LAB_IMAGE" sleep 100003
eventually 60 failed groupless '(Rejected|Failed).*cgroup'
on h1 umount -l /sys/fs/cgroup # lazily: another attempt may be looking into it
eventually 60 replicas groupless 1/1
docker service rm groupless >/dev/null
# What it gives back would be room on the full disk.
alone() { [[ $(docker ps -aq | wc -l) == 1 ]]; }
eventually 60 alone

step "the disk is full: said, and over with it"
on h1 sh -c "dd if=/dev/zero of=$LAB/h1/skep/fill bs=64k 2>/dev/null" || true
on h1 sh -c "cat /dev/zero >>$LAB/h1/skep/fill 2>/dev/null" || true
create crowded --mount type=volume,source=vol,target=/vol "$LAB_IMAGE" sleep 100004
eventually 60 failed crowded '(Rejected|Failed).*[Nn]o space left'
on h1 rm "$LAB/h1/skep/fill"
eventually 60 replicas crowded 1/1
docker service rm crowded >/dev/null

step "volumes that are mounts, and those that cannot be"
mkdir "$LAB/elsewhere"; date >"$LAB/elsewhere/file"
mounts() { on h1 grep -c " $LAB/h1/skep/volumes/" /proc/self/mountinfo || true; }
mount_of() { echo "type=volume,source=$1,target=/vol,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=$2"; }
create bound --mount "$(mount_of bound "$LAB/elsewhere")" "$LAB_IMAGE" sh -c 'test -e /vol/file && exec sleep 100005'
create nowhere --mount "$(mount_of nowhere "$LAB/nosuch")" "$LAB_IMAGE" sleep 100006
create oddly --mount type=volume,source=oddly,target=/vol,volume-opt=foo=bar "$LAB_IMAGE" sleep 100006
eventually 60 replicas bound 1/1
eventually 60 failed nowhere '(Rejected|Failed).*failed to mount local volume: mount .*nosuch.*no such file'
eventually 60 failed oddly 'Rejected.*create oddly: invalid option: "foo"'
same 1 "$(mounts)" "mounts of volumes"
docker service rm bound nowhere oddly >/dev/null
unmounted() { same 0 "$(mounts)" "mounts of volumes"; }
eventually 60 unmounted
eventually 60 alone

step "a template that explodes: said, and nobody else's trouble"
head -c 100000 /dev/zero | tr '\0' x | docker secret create big - >/dev/null
# shellcheck disable=SC1083 # a template
printf '{{secret "big"}}%.0s' {1..8000} | docker config create --template-driver golang explodes - >/dev/null
create explodes --secret big --config explodes "$LAB_IMAGE" sleep 100006
eventually 60 failed explodes 'Rejected.*config explodes: template expands to more than 1048576 bytes'
docker service rm explodes >/dev/null
docker config rm explodes >/dev/null
docker secret rm big >/dev/null
eventually 60 alone

step "links and dots lead nowhere"
docker run -d --name trap "$LAB_IMAGE" sh -c 'ln -s /etc /tmp/out; ln -s ../../../../../../etc /tmp/up
  ln -s /proc/1/root /tmp/root; ln -s /proc/self/cwd /tmp/cwd; sleep 1000' >/dev/null
trapped() { docker exec trap test -L /tmp/cwd; }
eventually 60 trapped
date >"$LAB/token-$LAB_ID"
for way in out up root/etc ../../../../../../../etc; do
  docker cp "$LAB/token-$LAB_ID" "trap:/tmp/$way/" 2>/dev/null || true
  [[ ! -e /etc/token-$LAB_ID ]] || fail "cp through $way came out on the host"
done
docker exec trap test -e "/etc/token-$LAB_ID" || fail "cp did not arrive inside"
docker cp trap:/tmp/out/passwd "$LAB/passwd"
cmp -s "$LAB/passwd" "$LAB/rootfs/etc/passwd" || fail "cp through a link read another passwd: $(cat "$LAB/passwd")"
mkdir "$LAB/shared"
docker commit trap trapped:1 >/dev/null 2>&1 || true
tar -C "$LAB" -cf - rootfs >/dev/null
ln -s /etc "$LAB/rootfs/leads-out"
tar -C "$LAB/rootfs" -c . | docker import - linked:1 >/dev/null
docker run --rm -v "$LAB/shared:/leads-out/mnt" --entrypoint sh linked:1 -c 'touch /leads-out/mnt/here /etc/there' ||
  fail "a mount below a link"
[[ -e $LAB/shared/here && ! -e /etc/there && ! -e /etc/mnt ]] || fail "a mount through a link came out"
docker run --rm --workdir /leads-out/made linked:1 true
[[ ! -e /etc/made ]] || fail "a working folder came out"
docker rm -f trap >/dev/null

step "clients that go away in the middle cost nothing"
sock=$LAB/h1/skep.sock
descriptors() { on h1 sh -c "ls /proc/$(on h1 cat "$LAB/h1/skepd.pid")/fd" | wc -l; }
before=$(descriptors)
id=$(docker run -d --name talk "$LAB_IMAGE" sh -c 'while :; do echo line; sleep 0.05; done')
for ((i = 0; i < 20; i++)); do
  for what in "containers/$id/logs?stdout=1&follow=1" "containers/$id/stats" "containers/$id/archive?path=/bin" events "images/$LAB_IMAGE/get"; do
    curl -s --max-time 0.2 --unix-socket "$sock" "http://d/v1.41/$what" -o /dev/null &
  done
  curl -s --max-time 0.2 -X POST -H 'Upgrade: tcp' -H 'Connection: Upgrade' --unix-socket "$sock" \
    "http://d/v1.41/containers/$id/attach?stream=1&stdout=1" -o /dev/null &
  curl -s --max-time 0.2 --limit-rate 1k -X PUT -T "$LAB/rootfs.tar" --unix-socket "$sock" \
    "http://d/v1.41/containers/$id/archive?path=/tmp" -o /dev/null &
  curl -s --max-time 0.1 -X POST --unix-socket "$sock" "http://d/v1.41/containers/$id/wait" -o /dev/null &
done
wait
docker rm -f talk >/dev/null
as_before() { (($(descriptors) <= before)); }
eventually 60 as_before
no_halves() { [[ -z $(on h1 find "$LAB/h1/skep/tmp" -mindepth 1) ]]; }
eventually 60 no_halves
same "$calm" "$(sleeps 100000)" "the calm task's process through all of it"

step "a task's health goes on over a restart of skepd"
# One check that passes, and none that ends after it: what is known of its health is known from it.
create watched --health-cmd 'test ! -e /once && touch /once && echo well || sleep 1000' --health-interval 1s --health-timeout 1h \
  "$LAB_IMAGE" sleep 100006
watched() { docker ps --quiet --filter label=com.docker.swarm.service.name=watched; }
health() { docker inspect "$(watched)" | jq -r '.[0].State.Health | [.Status, (.FailingStreak | tostring), (.Log | length | tostring), .Log[0].Start, .Log[0].Output] | join(" ")'; }
well() { [[ $(health) == 'healthy 0 1 '*' well'* ]]; }
eventually 60 well
known=$(health)
kill9 h1 skepd
skep_start h1
eventually 60 well
same "$known" "$(health)" "its health after the restart"
eventually 60 replicas watched 1/1
docker service rm watched >/dev/null
eventually 60 alone

step "what a lost life left goes: container, layer, log, sandbox"
docker run -d --name lost "$LAB_IMAGE" sleep 100005 >/dev/null
lost=$(docker inspect lost --format '{{.Id}}')
kill9 h1 skepd
on h1 rm -rf "$LAB/h1/skep/containers/$lost.json" "$LAB/h1/skep/swarm" "$LAB/h1/skep/node.json" "$LAB/h1/skep/manager"
skep_start h1
swept() { ! on h1 pgrep -x conmon && ! on h1 pgrep -x -f 'sleep 10000[05]'; }
eventually 60 swept
clean() { [[ -z $(on h1 find "$LAB/h1/skep/logs" "$LAB/h1/exec/runtime/containers" "$LAB/h1/skep/images/layers" -mindepth 1) ]]; }
eventually 60 clean
if on h1 grep "$LAB/h1/skep/images" /proc/self/mountinfo; then fail "mounts stay"; fi

step "hybrid cgroups: crun by name says what to do, left to itself the node takes runc"
if [[ $(on h1 stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
  echo "(this kernel has cgroup v2 alone)"
else
  skep_stop h1
  on h1 mkdir /sys/fs/cgroup/unified
  on h1 mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  skep_start h1 --default-runtime crun
  refused 'crun cannot work with this .*hybrid cgroups.*use runc' docker run --rm "$LAB_IMAGE" true
  skep_stop h1
  skep_start h1
  same runc "$(docker info --format '{{.DefaultRuntime}}')" "the runtime that info names"
  same here "$(docker run --rm "$LAB_IMAGE" echo here)" "what a container says"
fi
