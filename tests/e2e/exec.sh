#!/bin/bash
# Looking into containers by the docker command against skepd: cp both ways with links that lead out, stats,
# top, diff, export; running, stopped and after a restart.
# ctest-stock: TIMEOUT 300
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox ps
lab_commands
lab_up 1
docker() { d h1 "$@"; }
engines h1
docker run -d --name cc --network none --memory 64m "$LAB_IMAGE" sh -c 'while :; do sleep 1; done' >/dev/null

step "what every container has in its root, and none of it is a change of its own"
same "regular empty file /.dockerenv" "$(docker exec cc stat -c '%F %n' /.dockerenv)" "where programs see that"
same /proc/mounts "$(docker exec cc readlink /etc/mtab)" "what is mounted, as older programs ask"
docker run --name fresh --network none "$LAB_IMAGE" true
same "" "$(docker diff fresh)" "changes of a container that made none"
docker rm fresh >/dev/null

step "cp into it and out of it"
echo inside >"$LAB/file"
docker cp "$LAB/file" cc:/tmp/
same inside "$(docker exec cc cat /tmp/file)" "a file"
docker cp "$LAB/file" cc:/tmp/other
same inside "$(docker exec cc cat /tmp/other)" "a file by another name"
mkdir -p "$LAB/tree/a/b"; echo deep >"$LAB/tree/a/b/deep"; ln -s a/b/deep "$LAB/tree/link"
long=$(printf 'n%.0s' {1..120}); echo long >"$LAB/tree/a/$long"
docker cp "$LAB/tree" cc:/tmp/
same deep "$(docker exec cc cat /tmp/tree/link)" "a link in a tree"
same long "$(docker exec cc cat "/tmp/tree/a/$long")" "a long name"
docker cp cc:/tmp/tree "$LAB/back"
diff -r "$LAB/tree" "$LAB/back" || fail "the tree came back changed"
docker cp cc:/etc/passwd - | tar -xO passwd >"$LAB/passwd"
same "$(docker exec cc cat /etc/passwd)" "$(cat "$LAB/passwd")" "out as a stream"
refused 'No such container:path|Could not find' docker cp cc:/nosuch "$LAB/x"
refused 'no such directory|No such container:path|Could not find' docker cp "$LAB/file" cc:/nosuch/x/y
head -c 5000000 /dev/urandom >"$LAB/big"
docker cp "$LAB/big" cc:/big
same "$(md5sum <"$LAB/big")" "$(docker exec cc cat /big | md5sum)" "five megabytes"

step "links and dots lead nowhere else"
echo secret >"$LAB/secret"
docker exec cc sh -c "ln -s ../../../../../../../..$LAB /tmp/out; ln -s $LAB/secret /tmp/secret"
refused . docker cp -L cc:/tmp/secret "$LAB/stolen"
refused . docker cp cc:/tmp/out/secret "$LAB/stolen"
refused . docker cp "$LAB/file" cc:/tmp/out/planted
[[ ! -e $LAB/planted && ! -e $LAB/stolen ]] || fail "cp left the container"
mkdir "$LAB/evil"; echo bad >"$LAB/evil/bad"
tar -C "$LAB/evil" --transform 's,^,../../../../tmp/../,' -P -cf "$LAB/evil.tar" bad
status=0; docker cp - cc:/tmp <"$LAB/evil.tar" 2>"$LAB/err" || status=$?
[[ $status != 0 ]] || fail "an archive with .. was taken"
grep -Eq 'leads out of its folder|is outside of' "$LAB/err" || fail "words: $(cat "$LAB/err")"
head -c 3000 "$LAB/evil.tar" | tr 'b' 'c' >"$LAB/cut.tar"
refused . docker cp - cc:/tmp <"$LAB/cut.tar"
# An archive goes with its request, which may end a moment after its answer.
no_archives() { ! ours || [[ -z $(find "$LAB/h1/skep/tmp" -type f) ]]; }
eventually 60 no_archives

step "stats, top, diff"
# The command waits two seconds for a sample that takes one, and then shows dashes.
stats()
{
  local shown; shown=$(docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' cc)
  [[ $shown =~ ^cc\ [0-9.]+[kKM]iB\ /\ 64MiB\ [1-9] ]] || { echo "$shown"; return 1; }
}
eventually 60 stats
grep -qE 'sh -c while' <<<"$(docker top cc)" || fail "top: $(docker top cc)"
grep -qx 'PID' <<<"$(docker top cc -o pid | head -1 | tr -d ' ')" || fail "top -o pid: $(docker top cc -o pid)"
grep -qx 'A /big' <<<"$(docker diff cc)" || fail "diff: $(docker diff cc)"

step "exec of what cannot be started: one sentence, and no word of the runtime's"
# It ends with an error, as it must; what is looked at is its words.
said() { docker exec "$@" 2>&1 | tr -d '\r'; }
failed='OCI runtime exec failed: exec failed: unable to start container process'
same "$failed: exec: \"nosuch\": executable file not found in \$PATH: unknown" "$(said cc nosuch || true)" "a program"
same "$failed: exec: \"/etc\": permission denied: unknown" "$(said cc /etc || true)" "a folder"
same 'executable file `here' "$(said cc echo 'executable file `here')" "what only sounds like it"

step "exec in the background: its client hears when the program cannot be started"
refused 'exec: "nosuch": executable file not found in' docker exec -d cc nosuch
refused 'exec: "/etc": permission denied' docker exec -d cc /etc
docker exec -d cc sh -c 'echo begun >/tmp/begun'
begun() { docker exec cc grep -q begun /tmp/begun; }
eventually 60 begun
docker exec -d cc true

step "stopped: cp and export still work, and start again with what was put there"
docker stop -t 0 cc >/dev/null
docker cp cc:/tmp/file "$LAB/again"
same inside "$(cat "$LAB/again")" "out of a stopped one"
echo later >"$LAB/later"
docker cp "$LAB/later" cc:/later
docker export cc | tar -tf - >"$LAB/listing"
grep -qx later "$LAB/listing" && grep -qx bin/busybox "$LAB/listing" || fail "export"
no_mounts() { ! ours || ! on h1 grep "$LAB/h1.*/merged" /proc/self/mountinfo; }
eventually 60 no_mounts # as above: once the requests are over
docker create --name vv --network none --mount type=volume,source=kept,target=/srv/data \
  --mount "type=bind,source=$LAB/tree,target=/srv/data/tree,readonly" "$LAB_IMAGE" true >/dev/null
docker cp "$LAB/later" vv:/srv/data/
same later "$(cat "$LAB/h1/$(ours && echo skep || echo docker)/volumes/kept/_data/later")" "put into the volume of one that never ran"
docker cp vv:/srv "$LAB/srv"
same 'later deep' "$(cat "$LAB/srv/data/later" "$LAB/srv/data/tree/link" | tr '\n' ' ' | sed 's/ $//')" \
  "out of a folder with a volume and a bind in it"
refused 'read-only|Read-only' docker cp "$LAB/later" vv:/srv/data/tree/
[[ ! -e $LAB/tree/later ]] || fail "a bind that may only be read was written"
refused 'No such container:path|Could not find' docker cp vv:/srv/data/nosuch "$LAB/x"
docker export vv | tar -tf - >"$LAB/listing"
! grep -q later "$LAB/listing" || fail "volumes are exported"
eventually 60 no_mounts
docker start cc >/dev/null
same later "$(docker exec cc cat /later)" "put while it was stopped"
refused 'is not running' docker top "$(docker create --network none "$LAB_IMAGE" true)"
mapfile -t all < <(docker ps -aq)
docker rm -f "${all[@]}" >/dev/null
! ours || skep_stop h1
