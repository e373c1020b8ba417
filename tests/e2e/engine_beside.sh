#!/bin/bash
# What the engine does beside running programs: logs cut by time, samples of a paused container, terminals
# that are resized and left, volumes of a first use, delays between restarts, kills for memory, mounts that
# come later, a disk that is too small for an image. SKEP_E2E_ENGINE=stock runs the same on a stock engine,
# to show that the script itself is honest.
# ctest-stock: TIMEOUT 1800
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox jq python3 curl
lab_commands
lab_up 1
engines h1
docker() { d h1 "$@"; }
if ours; then socket=$LAB/h1/skep.sock; else socket=$LAB/h1/docker.sock; fi
I=$LAB_IMAGE
field() { docker inspect "$1" --format "{{$2}}"; }
is() { [[ $(field "$1" "$2") == "$3" ]]; }

step "logs: since and until, to the nanosecond"
docker run -d --name timed --network none "$I" sleep 1000 >/dev/null
# What comes in one piece has one time: each line is in the log before the next is said.
written() { [[ $(docker logs timed | wc -l) == "$1" ]]; }
for i in 1 2 3 4 5; do
  docker exec timed sh -c "echo line $i >/proc/1/fd/1"
  eventually 60 written "$i"
done
stamp() { docker logs -t timed | sed -n "$1s/ .*//p"; }
# later STAMP: a nanosecond after it.
later() { python3 -c 'import sys; t = sys.argv[1].rstrip("Z"); s, _, n = t.partition("."); n = int(n.ljust(9, "0")) + 1; print(f"{s}.{n:09d}Z" if n < 10 ** 9 else t)' "$1"; }
third=$(stamp 3)
[[ $third =~ ^[0-9T:-]+\.[0-9]{1,9}Z$ ]] || fail "a stamp: $third"
shown() { docker logs "$@" timed | tr -d '\n' | sed 's/line //g'; }
same 345 "$(shown --since "$third")" "since the third line"
same 123 "$(shown --until "$third")" "until the third line"
same 3 "$(shown --since "$third" --until "$third")" "the third line"
same 45 "$(shown --since "$(later "$third")")" "since a nanosecond later"
same 12345 "$(shown --since 1h)" "since an hour ago"
same '' "$(shown --until 1h)" "until an hour ago"
same 5 "$(shown --since "$third" --tail 1)" "the last line since the third"

step "samples: of one that runs, that is paused, and that has ended"
sample() { curl -s --max-time 60 --unix-socket "$socket" "http://d/v1.41/containers/$1/stats?stream=false&one-shot=$2"; }
(($(sample timed false | jq .memory_stats.usage) > 0)) || fail "no memory: $(sample timed false)"
docker pause timed >/dev/null
paused=$(sample timed false)
(($(jq .memory_stats.usage <<<"$paused") > 0)) || fail "a paused one has no memory: $paused"
same "$(jq .precpu_stats.cpu_usage.total_usage <<<"$paused")" "$(jq .cpu_stats.cpu_usage.total_usage <<<"$paused")" "processor time while it is paused"
docker unpause timed >/dev/null
docker kill timed >/dev/null
eventually 60 is timed .State.Running false
same '0 0' "$(sample timed false | jq -r '"\(.cpu_stats.cpu_usage.total_usage // 0) \(.memory_stats.usage // 0)"')" "a sample of one that has ended"
docker rm timed >/dev/null

step "events: all that is done with a container"
since=$(date +%s)
docker run -d --name told --network none "$I" sleep 1000 >/dev/null
docker exec told sh -c 'exit 0'
refused 'executable file not found' docker exec told nosuch
docker exec told true
echo x >"$LAB/file"
docker cp "$LAB/file" told:/tmp
docker cp told:/tmp/file - >/dev/null
docker top told >/dev/null
docker export told >/dev/null
docker restart -t 0 told >/dev/null
docker rm -f told >/dev/null
told() { docker events --since "$since" --until "$(($(date +%s) + 1))" --filter type=container --filter container=told --format '{{.Action}}' | sort |
  awk '$0 != "kill" || !killed++' | paste -sd,; }
wanted='archive-path,create,destroy,die,die,exec_create: nosuch ,exec_create: sh -c exit 0,exec_create: true ,exec_die,exec_die'
wanted+=',exec_start: nosuch ,exec_start: sh -c exit 0,exec_start: true ,export,extract-to-dir,kill,restart,start,start,stop,top'
# (How many signals an end took is left out: a stock engine tells of each, ours of the one asked for.)
all_told() { [[ $(told) == "$wanted" ]]; }
within 60 all_told || fail "events: $(told)"

step "events of a container's volumes: one that was there, and one that goes with it"
docker volume create shelf >/dev/null
docker run --name holder --network none -v shelf:/shelf:ro -v /own "$I" true
own=$(docker inspect holder --format '{{range .Mounts}}{{if eq .Destination "/own"}}{{.Name}}{{end}}{{end}}')
docker rm -v holder >/dev/null
of_volume()
{
  docker events --since "$since" --until "$(($(date +%s) + 1))" --filter type=volume --filter "volume=$1" \
    --format '{{.Action}} {{index .Actor.Attributes "destination"}} {{index .Actor.Attributes "read/write"}}' | xargs
}
shelf_told() { [[ $(of_volume shelf) == 'create create mount /shelf false unmount' ]]; }
own_told() { [[ $(of_volume "$own") == 'create mount /own true unmount destroy' ]]; }
within 60 shelf_told || fail "events: $(of_volume shelf)"
within 60 own_told || fail "events: $(of_volume "$own")"
docker volume rm shelf >/dev/null

step "prune: what does not run goes, and the room that it took is told"
docker run --name spent --label spent=yes --network none "$I" sh -c 'head -c 3000000 /dev/zero >/three'
docker run -d --name busy --label spent=yes --network none "$I" sleep 1000 >/dev/null
spent=$(docker inspect spent --format '{{.Id}}')
prune() { docker container prune --force --filter "label=$1" | xargs; }
same 'Total reclaimed space: 0B' "$(prune spent=no)" "a prune of nothing"
same "Deleted Containers: $spent Total reclaimed space: 3MB" "$(prune spent=yes)" "a prune"
same running "$(docker inspect busy --format '{{.State.Status}}')" "what runs"
docker rm -f busy >/dev/null

step "networks that are shared: no name, address or port of one's own"
docker run -d --name sharer --network none "$I" sleep 1000 >/dev/null
while IFS='|' read -r why options; do
  # shellcheck disable=SC2086 # they are several words
  refused "conflicting options: $why" docker create --network container:sharer $options "$I" true
done <<'ROWS'
port publishing and the container type network mode|-p 80:80
port publishing and the container type network mode|-P
port exposing and the container type network mode|--expose 80
hostname and the network mode|--hostname other
dns and the network mode|--dns 10.0.0.1
custom host-to-IP mapping and the network mode|--add-host a:10.0.0.1
ROWS
refused 'conflicting options: hostname and the UTS mode' docker create --uts host --hostname other "$I" true
refused 'No such container' docker create --volumes-from nosuch "$I" true
refused 'invalid CapAdd: unknown capability: "CAP_NOSUCH"' docker create --cap-add NOSUCH "$I" true
refused 'ps: error: unknown user-defined format specifier "nosuch"' docker top sharer -o nosuch
docker rm -f sharer >/dev/null

step "terminals: resized, and left by the keys that say so"
docker run -dit --name tty --network none "$I" sh >/dev/null
docker run -d --name plain --network none "$I" sleep 1000 >/dev/null
python3 - "$socket" "$(if ours; then echo ours; else echo stock; fi)" <<'PY'
import http.client, json, socket, sys, time

path = sys.argv[1]

def connection():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    return s

def call(method, target, body=None):
    engine = http.client.HTTPConnection("engine")
    engine.sock = connection()
    engine.request(method, "/v1.41" + target, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
    answer = engine.getresponse()
    text = answer.read()
    assert answer.status < 300, (method, target, answer.status, text)
    return json.loads(text) if text.strip().startswith(b"{") else None

class Talk:
    def __init__(self, target, body=b""):
        self.s = connection()
        self.s.sendall(f"POST /v1.41{target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                       "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode() + body)
        self.got = b""
    def until(self, text):
        while text not in self.got:
            more = self.s.recv(4096)
            assert more, self.got
            self.got += more
    def ends(self):
        while self.s.recv(4096):
            pass

def resized(talk, resize):
    call("POST", resize + "/resize?h=33&w=77")
    # The program reads its line after the resize; the answer is asked for until it is the new one.
    for _ in range(100):
        talk.got = b""
        talk.s.sendall(b"stty size; echo do''ne\n")
        talk.until(b"done")
        if b"33 77" in talk.got:
            return
        time.sleep(0.1)
    raise SystemExit(f"not resized: {talk.got}")

talk = Talk("/containers/tty/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,q")
resized(talk, "/containers/tty")
talk.s.sendall(b"\x01q")
talk.ends()
made = call("POST", "/containers/plain/exec", {"AttachStdin": True, "AttachStdout": True, "Tty": True, "Cmd": ["sh"], "DetachKeys": "ctrl-b"})
talk = Talk(f"/exec/{made['Id']}/start", json.dumps({"Tty": True}).encode())
resized(talk, f"/exec/{made['Id']}")
talk.s.sendall(b"\x02")
talk.ends()
if sys.argv[2] == "ours": # stock takes it for ended, but it runs on
    assert call("GET", f"/exec/{made['Id']}/json")["Running"], "the exec ended with its client"
PY
same 'true true' "$(field tty .State.Running) $(field plain .State.Running)" "containers that were left"
docker rm -f tty plain >/dev/null

step "volumes: filled by the first use, kept by the second, gone with their container where nobody named them"
volumes() { docker volume ls -q "$@" | wc -l; }
same passwd "$(docker run --rm --network none -v first:/etc "$I" sh -c 'echo mine >/etc/mine; ls /etc | grep passwd')" "the image's files"
same mine "$(docker run --rm --network none -v first:/var "$I" cat /var/mine)" "a second use"
same mine "$(docker run --rm --network none -v first:/usr "$I" ls /usr | grep -x -e bin -e mine)" "a second use where the image has files too"
same '' "$(docker run --rm --network none -v bare:/root:nocopy "$I" ls /root)" "one that is to stay empty"
docker run --rm --network none -v /data -v named:/named "$I" true
same 3 "$(volumes)" "volumes after --rm"
docker run --name held --network none -v /data -v named:/named "$I" true
same 4 "$(volumes)" "volumes with a container"
docker rm held >/dev/null
same 4 "$(volumes)" "volumes after rm"
docker run --name held --network none -v /data -v named:/named "$I" true
docker rm -v held >/dev/null
same 4 "$(volumes)" "volumes after rm -v"
docker volume rm first bare named >/dev/null
docker volume prune -f >/dev/null
# (Newer engines keep named ones; what is left was never named.)
same 0 "$(volumes)" "volumes after a prune"

step "restarts: each waits twice as long as the one before"
docker run -d --name again --network none --restart always "$I" sh -c 'echo begun; exit 1' >/dev/null
began() { (($(docker logs again | wc -l) >= 6)); }
eventually 60 began
docker logs -t again | head -n 6 | python3 -c 'import datetime, sys
at = [datetime.datetime.fromisoformat(line[:26].rstrip("Z").ljust(26, "0")) for line in sys.stdin]
gaps = [(b - a).total_seconds() for a, b in zip(at, at[1:])]
assert all(gap >= 0.1 * 2 ** i for i, gap in enumerate(gaps)), gaps'
docker stop -t 0 again >/dev/null
is again .State.Status exited || fail "stopped, and $(field again .State.Status)"
docker rm again >/dev/null

step "more memory than it may have"
docker run -d --name greedy --network none --memory 20m --memory-swap 20m "$I" \
  sh -c 'x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}' >/dev/null
eventually 60 is greedy .State.Status exited
same 'true 137' "$(field greedy '.State.OOMKilled}} {{.State.ExitCode')" "how it ended"
docker rm greedy >/dev/null

step "mounts that come later below a bound folder"
mkdir "$LAB/share"
on h1 mount --bind "$LAB/share" "$LAB/share"
on h1 mount --make-shared "$LAB/share"
for how in rslave rprivate; do
  docker run -d --name "$how" --network none --mount "type=bind,source=$LAB/share,target=/s,bind-propagation=$how" "$I" sleep 1000 >/dev/null
done
mkdir "$LAB/share/late"
on h1 mount -t tmpfs tmpfs "$LAB/share/late"
on h1 touch "$LAB/share/late/here"
docker exec rslave test -e /s/late/here || fail "a mount did not come in"
if docker exec rprivate test -e /s/late/here; then fail "a mount came in where none may"; fi
on h1 umount "$LAB/share/late"
if docker exec rslave test -e /s/late/here; then fail "a mount stays"; fi
docker rm -f rslave rprivate >/dev/null
on h1 umount "$LAB/share"

ours || exit 0
step "a disk that is too small for an image: said, nothing is left, and over with it"
skep_stop h1
rm -rf "$LAB/h1/skep"
install -d -m 700 "$LAB/h1/skep"
on h1 mount -t tmpfs -o size=30m,mode=700 tmpfs "$LAB/h1/skep"
skep_start h1
mkdir "$LAB/wide"
head -c 60000000 /dev/zero >"$LAB/wide/zeros"
cp -a "$LAB/rootfs/." "$LAB/wide"
tar -C "$LAB/wide" -czf "$LAB/wide.tgz" .
docker import "$LAB/wide.tgz" wide:1 >/dev/null
used() { on h1 du -sb --exclude=library "$LAB/h1/skep/images" | cut -f1; }
before=$(used)
refused '[Nn]o space left' docker run --rm --network none wide:1 true
as_before() { same "$before" "$(used)" "bytes of images after it"; }
eventually 60 as_before
same '' "$(on h1 find "$LAB/h1/skep/images/tmp" "$LAB/h1/skep/images/trees" "$LAB/h1/skep/images/layers" -mindepth 1)" "files of half an image"
on h1 mount -o remount,size=120m "$LAB/h1/skep"
same 60000000 "$(docker run --rm --network none wide:1 sh -c 'wc -c </zeros')" "the same image with more room"
skep_stop h1
