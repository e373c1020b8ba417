#!/bin/bash
# Managers whose keys are locked, the root's rotation as managers and workers see it, and a cluster that
# lost its quorum founded anew. After all of it no key, token or secret stands in a log (all of them at
# their most talkative), in the data folders, or where other processes look.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox openssl
lab_up 2
skep_image h1 h2
up() { skep_start "$1" --log-level debug; }
replicas() { [[ $(skep h1 service ls --filter "name=$1" --format '{{.Replicas}}') == "$2" ]]; }
sleepers() { on "$1" pgrep -x -f 'sleep 100000' | sort; }
state() { skep "$1" info --format '{{.Swarm.LocalNodeState}}'; }
is_state() { [[ $(state "$1") == "$2" ]]; }
key_file() { echo "$LAB/$1/skep/swarm/certificates/swarm-node.key"; }
locked() { grep -q 'ENCRYPTED PRIVATE KEY' "$(key_file "$1")"; }
clear_key() { ! locked "$1"; }
unlock() { echo "$2" | skep "$1" swarm unlock; }
two_managers() { [[ $(skep "$1" node ls --format '{{.Status}} {{.ManagerStatus}}' | sort | tr '\n' ,) == 'Ready Leader,Ready Reachable,' ]]; }

step "founded with a lock, and drained"
up h1
up h2
said=$(skep h1 swarm init --autolock --availability drain --advertise-addr "$(ip_of h1)")
key=$(grep -o 'SWMKEY-1-[A-Za-z0-9+/]*' <<<"$said")
[[ -n $key ]] || fail "init said: $said"
locked h1 || fail "the key file is in clear"
same drain "$(skep h1 node inspect self --format '{{.Spec.Availability}}')" "availability"
eventually 60 skep h1 node update --availability active h1
hush=$(head -c 24 /dev/urandom | base64 | tr -d '/+=')
skep h1 secret create quiet - <<<"$hush" >/dev/null
skep h1 service create --detach --quiet --stop-grace-period 1s --name web --secret quiet --replicas 1 "$LAB_IMAGE" sleep 100000 >/dev/null 2>&1
eventually 60 replicas web 1/1
runs() { [[ $(sleepers "$1" | wc -l) == "$2" ]]; } # a task runs a moment before its program does
eventually 60 runs h1 1
tasks=$(sleepers h1)
refused 'swarm is not locked' skep h1 swarm unlock <<<"$key"

step "started again it is locked: it manages nothing, its containers run on"
skep_stop h1
up h1
same locked "$(state h1)" "its state"
refused 'encrypted and needs to be unlocked' skep h1 node ls
refused 'locked' skep h1 swarm leave
same "$tasks" "$(sleepers h1)" "the tasks of a locked node"
refused 'invalid key' unlock h1 "SWMKEY-1-$(head -c 32 /dev/zero | base64 | tr -d =)"
refused 'invalid key' unlock h1 nonsense
unlock h1 "$key" >/dev/null
eventually 60 replicas web 1/1
same "$tasks" "$(sleepers h1)" "the tasks of the unlocked node"

step "another manager gets the lock too; a worker has none"
skep h2 swarm join --token "$(skep h1 swarm join-token --quiet manager)" "$(ip_of h1):2377" >/dev/null
eventually 60 two_managers h2
eventually 60 locked h2
eventually 60 skep h1 node demote h2
eventually 60 clear_key h2
eventually 60 skep h1 node promote h2
eventually 60 two_managers h2
eventually 60 locked h2

step "a new key for all"
old=$key
hushed=("$hush" "${old#SWMKEY-1-}")
# (With two managers there may be an election, and then nobody to ask for a moment.)
gives_key() { skep h1 swarm unlock-key --rotate --quiet >"$LAB/key"; }
eventually 60 gives_key
key=$(<"$LAB/key")
rm "$LAB/key"
[[ $key != "$old" ]] || fail "the same key"
told() { same "$key" "$(skep h2 swarm unlock-key --quiet)" "the key, asked of h2"; }
eventually 60 told
# Both have taken it: the version of the cluster object that brought it is in the file's head.
version=$(skep h1 system info --format '{{.Swarm.Cluster.Version.Index}}')
taken() { grep -q "^kek-version: $version\$" "$(key_file "$1")"; }
for host in h1 h2; do eventually 60 taken $host; done
skep_stop h2
up h2
refused 'invalid key' unlock h2 "$old"
unlock h2 "$key" >/dev/null
eventually 60 two_managers h2

step "a new root for all"
before=$(skep h1 swarm ca)
# Asked once more only when nothing came of it.
rotates() { [[ $(skep h1 system info --format '{{.Swarm.Cluster.RootRotationInProgress}}') == true ]]; }
rotated()
{
  local root; root=$(skep h2 swarm ca) || return 1
  [[ $root == "$before" ]] || return 0
  rotates || skep h1 swarm ca --rotate --detach --quiet
  return 1
}
eventually 60 rotated
has_root() { same "$(skep h1 swarm ca)" "$(<"$LAB/$1/skep/swarm/certificates/swarm-root-ca.crt")" "the root on $1"; }
for host in h1 h2; do
  eventually 60 has_root $host
  openssl verify -CAfile "$LAB/$host/skep/swarm/certificates/swarm-root-ca.crt" \
    "$LAB/$host/skep/swarm/certificates/swarm-node.crt" >/dev/null
done
locked h1 || fail "h1's key file is in clear"
eventually 60 two_managers h2

step "unlocked for good"
eventually 60 skep h2 swarm update --autolock=false
for host in h1 h2; do eventually 60 clear_key $host; done
skep_stop h2
up h2
eventually 60 two_managers h2
same "$tasks" "$(sleepers h1)" "the tasks after all that"

step "locked while others write: both managers get other certificates, and writes go on"
settled() { locked "$1" && ! grep -q '^raft-dek-pending: ' "$(key_file "$1")"; }
node_key() { openssl x509 -noout -pubkey -in "$LAB/$1/skep/swarm/certificates/swarm-node.crt"; }
has_other_key() { [[ $(node_key "$1") != "$2" ]]; }
write_on()
{
  local count=0 longest=0 begun took
  until [[ -e $LAB/written ]]; do
    count=$((count + 1)) begun=$(date +%s%3N)
    eventually 60 skep h2 service update --detach --label-add "n=$count" web
    took=$(($(date +%s%3N) - begun))
    longest=$((took > longest ? took : longest))
  done
  echo "$count writes, the longest $longest ms"
}
node_keys=("$(node_key h1)" "$(node_key h2)")
write_on &
writer=$!
eventually 60 skep h1 swarm update --autolock
for i in 0 1; do
  eventually 60 settled "h$((i + 1))"
  eventually 60 has_other_key "h$((i + 1))" "${node_keys[i]}"
done
eventually 60 two_managers h2
touch "$LAB/written"
wait "$writer" || fail "writes did not go on"
written() { same "n:" "$(skep h1 service inspect web --format '{{range $k, $v := .Spec.Labels}}{{$k}}:{{end}}')" "the labels"; }
eventually 60 written
eventually 60 skep h1 swarm update --autolock=false
for host in h1 h2; do eventually 60 clear_key $host; done

step "locked again: what stood in clear, data key and node key, is replaced"
dek() { sed -n 's/^raft-dek: //p' "$(key_file "$1")"; }
deks=("$(dek h1)" "$(dek h2)")
node_key=$(node_key h1)
# (On a busy machine handshakes cost a leader now and then, and who asks meanwhile asks again.)
eventually 60 skep h1 swarm update --autolock
tell_key() { skep h1 swarm unlock-key --quiet >"$LAB/key"; }
eventually 60 tell_key
key=$(<"$LAB/key")
rm "$LAB/key"
# One manager crashes on the way: it goes on where it was.
eventually 60 locked h2
kill9 h2 skepd
up h2
eventually 60 is_state h2 locked
unlock h2 "$key" >/dev/null
for host in h1 h2; do eventually 60 settled $host; done
eventually 60 two_managers h2
eventually 60 has_other_key h1 "$node_key"
eventually 60 skep h1 swarm update --autolock=false
for host in h1 h2; do eventually 60 clear_key $host; done
for i in 0 1; do
  [[ $(dek "h$((i + 1))") != "${deks[i]}" ]] || fail "h$((i + 1)) still has the data key that stood in clear"
  skep_stop "h$((i + 1))"
  up "h$((i + 1))"
done
eventually 60 two_managers h2
same "$tasks" "$(sleepers h1)" "the tasks after that"

step "none of the keys, tokens and secrets stands anywhere in clear"
hushed+=("${key#SWMKEY-1-}" 'PRIVATE KEY')
tell_token() { skep h1 swarm join-token --quiet "$1" >"$LAB/token"; }
for role in worker manager; do
  eventually 60 tell_token $role
  hushed+=("$(sed 's/.*-//' "$LAB/token")")
done
rm "$LAB/token"
# family PID: its processes.
family()
{
  local child
  echo "$1"
  while read -rd ' ' child; do family "$child"; done < <(cat "/proc/$1"/task/*/children)
}
for host in h1 h2; do
  grep -q ' DEBUG ' "$LAB/$host/skepd.log" || fail "$host did not say all it could"
  for text in "${hushed[@]}"; do
    ! grep -nF -- "$text" "$LAB/$host/skepd.log" || fail "it is in the log of $host: $text"
    # (A node keeps its own key, which only a lock seals.)
    found=$(grep -rlF --exclude=swarm-node.key -- "$text" "$LAB/$host/skep" || true)
    same '' "$found" "files of $host with $text"
    for pid in $(family "$(pid_of "$host" skepd)"); do
      if grep -qF -- "$text" "/proc/$pid/cmdline" "/proc/$pid/environ" 2>/dev/null; then fail "process $pid shows $text"; fi
    done
  done
done
# A manager leaves no core, nor may others of its user look into it: its files in /proc are root's.
for pid in $(family "$(pid_of h1 skepd)"); do
  [[ $(<"/proc/$pid/comm") == *manager ]] || continue
  [[ $(awk '/^Uid:/ { print $2 }' "/proc/$pid/status") != 0 ]] || fail "the manager is root"
  same 0 "$(stat -c %u "/proc/$pid/environ")" "the owner of a manager's memory"
  closed=yes
done
same yes "${closed:-}" "a manager was looked at"

step "one of two managers is lost: the other founds the cluster anew, with all it had"
service=$(skep h1 service inspect web --format '{{.ID}} {{.CreatedAt}}')
host_kill h2
skep h1 swarm init --force-new-cluster --advertise-addr "$(ip_of h1)" >/dev/null
managers() { [[ $(skep h1 node ls --format '{{.ManagerStatus}}' | sort | tr '\n' ,) == ',Leader,' ]]; }
eventually 60 managers
same "$service" "$(skep h1 service inspect web --format '{{.ID}} {{.CreatedAt}}')" "the service"
same "$tasks" "$(sleepers h1)" "its tasks"
in_sequence skep h1 service scale --detach web=2 >/dev/null
eventually 90 replicas web 2/2
skep_stop h1
up h1
eventually 60 managers
eventually 60 replicas web 2/2
skep h1 swarm leave --force >/dev/null
same '' "$(sleepers h1)" "tasks of a node that left"
refused 'only a manager' skep h1 swarm init --force-new-cluster
