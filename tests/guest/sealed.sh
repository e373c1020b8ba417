#!/bin/bash
# The guest boots Debian's kernel and has what we want it for; hosts of the lab run in it. An encrypted
# network of two whole nodes of skepd: containers reach each other, as ESP alone, and lose no packet while keys
# are renewed; skep doctor sees that ESP passes between the nodes, says so where it does not, and what to do.
# The containers are confined by the kernel's AppArmor, but for one that asks not to be.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
. "$(dirname "$0")/../support/lab.sh"
. "$(dirname "$0")/../support/renewal.sh"
lab_needs conmon crun umoci busybox nft python3 apparmor_parser
# Our own command: what is compiled for a real processor starts faster here than Go does.
LAB_DOCKER=$SKEP_BUILD/skep

step "Debian's kernel $(uname -r): cgroup v2, IPVS, ESP with AES-GCM"
guest_cipher
same cgroup2fs "$(stat -f -c %T /sys/fs/cgroup)" "the cgroup tree"
[[ -e /proc/net/ip_vs ]] || fail "no IPVS"

step "two nodes, an encrypted network with a container on each"
lab_up 2
manager() { skep h1 "$@"; }
skep_image h1 h2
for host in h1 h2; do
  on $host mount -t securityfs securityfs /sys/kernel/security
  skep_start $host
done
manager swarm init --advertise-addr "$(ip_of h1)" >/dev/null
# A node that is slow is not down.
in_sequence manager swarm update --dispatcher-heartbeat 60s >/dev/null
skep h2 swarm join --token "$(manager swarm join-token --quiet worker)" --advertise-addr "$(ip_of h2)" \
  "$(ip_of h1):2377" >/dev/null
manager network create --driver overlay --attachable --subnet 10.30.0.0/24 --opt encrypted sealed >/dev/null
declare -A pin=() address=() fence=([h1]=docker-default [h2]=unconfined)
for host in h1 h2; do
  # All that else keeps a container from mounting and from the machine's triggers is switched off.
  free=(--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt systempaths=unconfined)
  [[ ${fence[$host]} == docker-default ]] || free+=(--security-opt "apparmor=${fence[$host]}")
  id=$(skep $host run -d --name "on-$host" --network sealed "${free[@]}" "$LAB_IMAGE" sleep 100000)
  pin[$host]=$LAB/$host/exec/netns/${id:0:12}
  address[$host]=$(skep $host inspect --format '{{.NetworkSettings.Networks.sealed.IPAddress}}' "on-$host")
done

step "AppArmor: no mounts and no triggers, unless a container runs unconfined"
says_of() { skep "$1" inspect --format '{{.AppArmorProfile}}' "on-$1"; }
# What worked of it, in one line.
tries()
{
  skep "$1" exec "on-$1" sh -c 'read -r label _ </proc/1/attr/current; echo "$label"
    mount -t tmpfs tmpfs /var 2>/dev/null && echo mounted
    (echo h >/proc/sysrq-trigger) 2>/dev/null && echo triggered
    (echo 1 >/proc/sys/kernel/shm_rmid_forced) 2>/dev/null && echo shared
    kill -0 1 && echo signalled' | xargs
}
skep h1 info --format '{{.SecurityOptions}}' | has name=apparmor || fail "info does not say name=apparmor"
for host in h1 h2; do same "${fence[$host]}" "$(says_of $host)" "the profile of the container on $host"; done
same "docker-default shared signalled" "$(tries h1)" "what docker-default lets do"
same "unconfined mounted triggered shared signalled" "$(tries h2)" "what unconfined lets do"
refused 'AppArmor profile strict is not loaded' skep h1 run --rm --security-opt apparmor=strict "$LAB_IMAGE" true
on h1 grep -q '^docker-default (enforce)$' /sys/kernel/security/apparmor/profiles || fail "no profile in the kernel"

step "AppArmor: a profile of the operator's own, while it is loaded; a service that wants none"
strict='profile strict flags=(attach_disconnected, mediate_deleted) { file, capability, network, signal, deny /tmp/** w, }'
on h1 apparmor_parser --add --skip-cache <<<"$strict"
# under OPTION...: the profile of such a container, and whether it may write to /tmp.
under()
{
  skep h1 run --rm --network none "$@" "$LAB_IMAGE" \
    sh -c 'read -r label _ </proc/self/attr/current; echo "$label"; (: >/tmp/there) 2>/dev/null && echo writes' | xargs
}
same "strict" "$(under --security-opt apparmor=strict)" "a container under it"
same "docker-default writes" "$(under)" "one that names none"
skep h1 create --name kept --network none --security-opt apparmor=strict "$LAB_IMAGE" true >/dev/null
on h1 apparmor_parser --remove <<<"$strict"
refused 'AppArmor profile strict is not loaded' skep h1 start kept
skep h1 rm kept >/dev/null
for mode in default disabled; do
  on h1 python3 - "$LAB/h1/skep.sock" "$mode" "$LAB_IMAGE" <<'P'
import http.client, json, socket, sys
path, mode, image = sys.argv[1:]
engine = http.client.HTTPConnection("engine")
engine.sock = socket.socket(socket.AF_UNIX)
engine.sock.connect(path)
container = {"Image": image, "Command": ["sleep", "100000"], "Privileges": {"AppArmor": {"Mode": mode}}}
task = {"ContainerSpec": container, "Placement": {"Constraints": ["node.hostname==h1"]}}
engine.request("POST", "/v1.46/services/create", json.dumps({"Name": mode, "TaskTemplate": task}), {"Content-Type": "application/json"})
answer = engine.getresponse()
sys.exit(0 if answer.status == 201 else str(answer.read()))
P
done
label_of() { skep h1 exec "$(skep h1 ps -q --filter "label=com.docker.swarm.service.name=$1")" cat /proc/1/attr/current; }
is_under() { [[ $(label_of "$1") == "$2"* ]]; }
eventually 120 is_under default docker-default
eventually 120 is_under disabled unconfined
skep h1 service rm default disabled >/dev/null

step "they reach each other, as ESP"
ip netns exec "${LAB_ID}sw" nft -f - <<'NFT'
table bridge wire {
  counter esp_seen { }
  counter clear_seen { }
  chain through {
    type filter hook prerouting priority -300;
    ether type ip ip protocol esp counter name esp_seen
    ether type ip udp dport 4789 counter name clear_seen
  }
}
NFT
seen() { ip netns exec "${LAB_ID}sw" nft list counter bridge wire "$1_seen" | awk '/packets/ { print $2 }'; }
in_box() { local host=$1; shift; on "$host" nsenter --net="${pin[$host]}" -- "$@"; }
# Every ping is answered: one that is lost on a way that has yet to be made is no packet to count.
reaches() { in_box "$1" ping -q -c 2 -i 0.2 -W 30 "${address[$2]}" | has ' 0% packet loss'; }
eventually 60 reaches h1 h2
eventually 60 reaches h2 h1
(($(seen esp) >= 8)) || fail "$(seen esp) packets of ESP"
same 0 "$(seen clear)" "packets of VXLAN in clear text"

step "keys are renewed under traffic: no packet is lost, and none is in clear text"
renew_under_traffic 1 "${address[h1]}" "${address[h2]}"
same 0 "$(seen clear)" "packets of VXLAN in clear text"

step "skep doctor: ESP passes between the nodes"
doctor() { on h1 "$SKEP_BUILD/skep" --host "unix://$LAB/h1/skep.sock" doctor --json >"$LAB/doctor.json"; }
# says VERDICT CHECK: the one row of that check.
says()
{
  doctor || true
  python3 -c 'import json, sys
rows = [row for row in json.load(open(sys.argv[1])) if row["Check"] == sys.argv[3]]
sys.exit(0 if len(rows) == 1 and rows[0]["Verdict"] == sys.argv[2] and (sys.argv[2] == "ok" or rows[0]["Cure"]) else str(rows))' \
    "$LAB/doctor.json" "$1" "$2" || { cat "$LAB/doctor.json"; return 1; }
}
for pair in "h1 to h2" "h2 to h1"; do eventually 60 says ok "$pair: encrypted overlay, ESP"; done

step "and says where it does not"
on h2 nft "add table inet broken; add chain inet broken in { type filter hook input priority -400; }; add rule inet broken in meta l4proto esp drop"
eventually 60 says bad "h1 to h2: encrypted overlay, ESP"
on h2 nft delete table inet broken
for pair in "h1 to h2" "h2 to h1"; do eventually 60 says ok "$pair: encrypted overlay, ESP"; done
