#!/bin/bash
# Every command for swarms, nodes, networks, secrets and configurations, each with what it brings about
# and what it refuses, by the newest docker command of this machine against three nodes.
# SKEP_E2E_ENGINE=stock runs the same on stock engines, to show that the script itself is honest.
# ctest-stock: TIMEOUT 1800 COST 60
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker conmon crun umoci busybox nft
lab_commands
lab_up 3

info() { d "$1" info --format "{{$2}}"; }
spec() { d h1 info --format "{{.Swarm.Cluster.Spec.$1}}"; }
node() { d h1 node inspect "$1" --format "{{$2}}"; }
net() { d h1 network inspect "$1" --format "{{$2}}"; }
is() { [[ $(info "$1" "$2") == "$3" ]]; }

engines h1 h2 h3

step "swarm init with all its flags"
refused 'not a swarm manager' d h1 node ls
! ours || refused 'external CA 1: URL must begin with https://' d h1 swarm init --external-ca protocol=cfssl,url=http://ca.test
same inactive "$(info h1 .Swarm.LocalNodeState)" "after what was refused"
refused 'advertise address must be a non-zero IP address or network interface' d h1 swarm init --advertise-addr nosuch0
said=$(d h1 swarm init --advertise-addr "$(ip_of h1)" --listen-addr "$(ip_of h1):2377" --data-path-addr eth0 --data-path-port 5789 \
  --default-addr-pool 10.60.0.0/16 --default-addr-pool-mask-length 26 --availability drain --task-history-limit 2 --cert-expiry 48h \
  --dispatcher-heartbeat 2s --max-snapshots 3 --snapshot-interval 500)
[[ $said == *"docker swarm join --token SWMTKN-1-"*"$(ip_of h1):2377"* ]] || fail "init said: $said"
refused 'already part of a swarm' d h1 swarm init
same 'active true 1 1' "$(info h1 '.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.Managers}} {{.Swarm.Nodes')" "info"
same "$(ip_of h1) $(ip_of h1):2377" "$(info h1 '.Swarm.NodeAddr}} {{(index .Swarm.RemoteManagers 0).Addr')" "addresses"
same '2 48h0m0s 2s 3 500' "$(spec 'Orchestration.TaskHistoryRetentionLimit}} {{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}} {{.Swarm.Cluster.Spec.Dispatcher.HeartbeatPeriod}} {{.Swarm.Cluster.Spec.Raft.KeepOldSnapshots}} {{.Swarm.Cluster.Spec.Raft.SnapshotInterval')" "the specification"
same '[10.60.0.0/16] 26 5789' "$(info h1 '.Swarm.Cluster.DefaultAddrPool}} {{.Swarm.Cluster.SubnetSize}} {{.Swarm.Cluster.DataPathPort')" "pool and port"
same drain "$(node self .Spec.Availability)" "availability"
has_subnet() { net "$1" '(index .IPAM.Config 0).Subnet'; } # a moment after it was made
eventually 60 has_subnet ingress
[[ $(net ingress '(index .IPAM.Config 0).Subnet') == 10.60.*/26 ]] || fail "the routing mesh's network is not of the pool"

step "join-token, join with flags, leave"
worker=$(d h1 swarm join-token --quiet worker)
manager=$(d h1 swarm join-token -q manager)
[[ $(d h1 swarm join-token worker) == *"docker swarm join --token $worker $(ip_of h1):2377"* ]] || fail "join-token"
in_sequence d h1 swarm join-token --rotate --quiet worker >"$LAB/rotated"
[[ $(<"$LAB/rotated") != "$worker" && $(d h1 swarm join-token -q worker) == "$(<"$LAB/rotated")" ]] || fail "not rotated"
same "$manager" "$(d h1 swarm join-token -q manager)" "the other token"
refused 'A valid join token is necessary|invalid join token' d h2 swarm join --token "$worker" "$(ip_of h1):2377"
refused 'invalid join token' d h2 swarm join --token nonsense "$(ip_of h1):2377"
d h2 swarm join --token "$manager" --advertise-addr eth0:2400 --listen-addr "$(ip_of h2):2400" --data-path-addr "$(ip_of h2)" \
  --availability pause "$(ip_of h1):2377" >/dev/null
d h3 swarm join --token "$(<"$LAB/rotated")" "$(ip_of h1):2377" >/dev/null
refused 'already part of a swarm' d h3 swarm join --token "$worker" "$(ip_of h1):2377"
refused 'This node is not a swarm manager. Worker nodes can|not a swarm manager' d h3 node ls
[[ $(on h2 ss -Hltn 'sport = :2400') == *"$(ip_of h2):2400"* ]] || fail "not listening at the address it was told"
same pause "$(node h2 .Spec.Availability)" "availability"
same "$(ip_of h2):2400" "$(node h2 .ManagerStatus.Addr)" "the address it told"

step "swarm update"
eventually 60 d h1 swarm update --task-history-limit 4 --cert-expiry 72h --dispatcher-heartbeat 3s --max-snapshots 1 --snapshot-interval 700
same '4 72h0m0s 3s 1 700' "$(spec 'Orchestration.TaskHistoryRetentionLimit}} {{.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry}} {{.Swarm.Cluster.Spec.Dispatcher.HeartbeatPeriod}} {{.Swarm.Cluster.Spec.Raft.KeepOldSnapshots}} {{.Swarm.Cluster.Spec.Raft.SnapshotInterval')" "the specification"
refused 'certificate expiry' d h1 swarm update --cert-expiry 1m
locks() { d h1 swarm update --autolock=true >"$LAB/locks"; }
eventually 60 locks
has SWMKEY-1- <"$LAB/locks" || fail "no unlock key"
# Managers that seal their state anew may elect meanwhile, and until then there is nobody to ask.
same_key() { local key; key=$(d h1 swarm unlock-key -q) && same "$key" "$(d h2 swarm unlock-key -q)" "the unlock key"; }
eventually 60 same_key
eventually 60 d h1 swarm update --autolock=false
refused 'not locked|swarm is not locked' d h1 swarm unlock <<<SWMKEY-1-x
[[ $(d h1 swarm ca) == *'BEGIN CERTIFICATE'* ]] || fail "no root certificate"
if ours; then # a stock engine would send certificates over plain HTTP
  refused 'external CA 1: URL must begin with https://' d h1 swarm update --external-ca protocol=cfssl,url=http://ca.test
  same '[]' "$(spec CAConfig.ExternalCAs)" "external CAs"
fi

step "node ls, ps, inspect, update, promote, demote, rm"
# The new key has the managers connect anew; which of the two leads is theirs to settle.
lists()
{
  local said; said=$(d h1 node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}' | sort | tr '\n' ,)
  same 1 "$(tr , '\n' <<<"$said" | grep -c ' Leader$')" "leaders of $said"
  same "$1" "${said/ Leader,/ Reachable,}" "node ls"
}
calm() { lists "$1" && sleep 2 && lists "$1"; } # longer than an election
eventually 60 calm 'h1 Ready Drain Reachable,h2 Ready Pause Reachable,h3 Ready Active ,'
same h2 "$(d h1 node ls --filter name=h2 --format '{{.Hostname}}')" "node ls with a filter"
same 'h1 h2 ' "$(d h1 node ls --filter role=manager --format '{{.Hostname}}' | sort | tr '\n' ' ')" "node ls by role"
refused '[Ii]nvalid filter' d h1 node ls --filter nosuch=1
# What the node says of itself meanwhile changes its version, and who comes too late asks again.
eventually 60 d h1 node update --availability active --label-add zone=a --label-add rack=b h3
same 'map[rack:b zone:a]' "$(node h3 .Spec.Labels)" "labels"
same h3 "$(d h1 node ls --filter node.label=zone=a --format '{{.Hostname}}')" "node ls by label"
eventually 60 d h1 node update --label-rm rack h3
same 'map[zone:a]' "$(node h3 .Spec.Labels)" "labels"
refused "doesn't exist in node's labels" d h1 node update --label-rm rack h3
refused 'invalid Availability' d h1 node update --availability sometimes h3
[[ $(d h1 node inspect --pretty h3) =~ Hostname:[[:space:]]+h3 ]] || fail "inspect --pretty"
same h1 "$(d h1 node inspect self --format '{{.Description.Hostname}}')" "self"
refused 'No such node|not found' d h1 node inspect nosuch
# More than one of a name is refused by their word, an id's beginning is enough.
id=$(d h1 node ls --filter name=h3 -q)
same "$id" "$(d h1 node inspect "${id:0:10}" --format '{{.ID}}')" "by the beginning of an id"
eventually 60 d h1 node promote h3
eventually 60 is h3 .Swarm.ControlAvailable true
same manager "$(node h3 .Spec.Role)" "role"
eventually 60 d h1 node demote h3
eventually 60 is h3 .Swarm.ControlAvailable false
refused 'is not down and|is a cluster manager' d h1 node rm h3
eventually 60 d h3 swarm leave # the demotion ends first
is h3 .Swarm.LocalNodeState inactive || fail "did not leave"
down() { [[ $(node h3 .Status.State) == down ]]; }
eventually 60 down
removed() { local left; d h1 node rm h3 || { left=$(d h1 node ls --filter name=h3 -q) && [[ -z $left ]]; }; }
eventually 60 removed
same '' "$(d h1 node ls --filter name=h3 -q)" "a node that was removed"
refused 'attempting to leave the swarm on a node that is participating as a manager' d h1 swarm leave
d h3 swarm join --token "$(<"$LAB/rotated")" "$(ip_of h1):2377" >/dev/null
# From here on one manages alone: no election comes between what follows.
eventually 60 d h1 node demote h2
eventually 60 is h2 .Swarm.ControlAvailable false
alone() { same Leader "$(d h1 node ls --format '{{.ManagerStatus}}' | tr -d '\n')" "managers"; }
eventually 60 alone

step "network create with all its flags"
d h1 network create -d overlay --subnet 10.41.0.0/24 --gateway 10.41.0.1 --ip-range 10.41.0.128/25 --aux-address router=10.41.0.130 \
  --attachable --label a=b --opt com.docker.network.driver.mtu=1400 full >/dev/null
eventually 60 has_subnet full
same '10.41.0.0/24 10.41.0.1 10.41.0.128/25 true b 1400 swarm overlay' "$(net full '(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).Gateway}} {{(index .IPAM.Config 0).IPRange}} {{.Attachable}} {{.Labels.a}} {{index .Options "com.docker.network.driver.mtu"}} {{.Scope}} {{.Driver')" "the network"
d h1 network create -d overlay --internal inside >/dev/null
eventually 60 has_subnet inside
same 'true 10.60.' "$(net inside '.Internal}} {{slice (index .IPAM.Config 0).Subnet 0 6')" "an internal one, from the pool"
d h1 network create -d overlay --subnet 10.42.0.0/24 --subnet 10.43.0.0/24 two >/dev/null
eventually 60 has_subnet two
same 2 "$(net two 'len .IPAM.Config')" "two subnets"
d h1 network create -d overlay --opt encrypted secret >/dev/null
same '""' "$(net secret 'json .Options.encrypted')" "encrypted"
d h1 network create -d bridge local-net >/dev/null
same 'bridge local' "$(net local-net '.Driver}} {{.Scope')" "a bridge"
refused 'already exists' d h1 network create -d overlay full
! ours || refused 'overlaps' d h1 network create -d overlay --subnet 10.41.0.0/25 lapped # there it waits for ever
refused 'no matching subnet|gateway' d h1 network create -d overlay --subnet 10.45.0.0/24 --gateway 10.46.0.1 wrong
refused 'invalid CIDR|invalid .*10.45.0.0|ParseAddr|netip' d h1 network create -d overlay --subnet 10.45.0.0/64 wrong
refused 'plugin|driver' d h1 network create -d nosuch wrong
# Volumes of the cluster's came with a later API than this one, and its flags with a later command.
refused 'unknown flag|API version 1.42|cluster volumes are not supported' d h1 volume create --type mount --sharing all --scope single wide
if ours; then
  # What the guides promise and stock engines do not do.
  d h1 network create -d overlay --subnet 10.44.0.0/24 --opt com.docker.network.driver.overlay.vxlanid=100 hundred >/dev/null
  eventually 60 has_subnet hundred
  same 100 "$(net hundred 'index .Options "com.docker.network.driver.overlay.vxlanid_list"')" "the tunnel's number"
  d h1 network create -d overlay --opt encrypted=false fast >/dev/null
  same '' "$(net fast 'range $k, $v := .Options}}{{if eq $k "encrypted"}}{{$v}}{{end}}{{end')" "encrypted=false"
fi

step "network ls, prune, rm"
same full "$(d h1 network ls --filter label=a=b --format '{{.Name}}')" "network ls by label"
[[ $(d h1 network ls --filter driver=overlay --format '{{.Name}}' | sort | tr '\n' ' ') == *'full '*'ingress inside '* ]] || fail "network ls by driver"
same local-net "$(d h1 network ls --filter scope=local --filter name=local --format '{{.Name}}')" "network ls by scope"
d h1 network rm inside two >/dev/null
refused 'No such network|not found' d h1 network inspect inside
d h1 network prune --force >"$LAB/pruned"
grep -q local-net "$LAB/pruned" || fail "not pruned: $(<"$LAB/pruned")"
refused 'pre-defined network' d h1 network rm bridge
d h1 network create -d overlay --ingress --subnet 10.50.0.0/24 mesh 2>"$LAB/err" && fail "a second routing mesh"
grep -q 'already present' "$LAB/err" || fail "words: $(<"$LAB/err")"

step "secret and config: create, ls, inspect, rm"
same "$(printf s3cret | d h1 secret create --label a=b s1 - )" "$(d h1 secret inspect s1 --format '{{.ID}}')" "the id"
printf conf >"$LAB/conf"
d h1 config create --label a=b --template-driver golang c1 "$LAB/conf" >/dev/null
same 'b golang' "$(d h1 config inspect c1 --format '{{.Spec.Labels.a}} {{.Spec.Templating.Name}}')" "label and template driver"
same conf "$(d h1 config inspect c1 --format '{{json .Spec.Data}}' | tr -d '"' | base64 -d)" "the data"
[[ $(d h1 secret inspect s1) != *Data* ]] || fail "a secret shows its data"
[[ $(d h1 config inspect --pretty c1) == *conf* ]] || fail "config inspect --pretty"
same s1 "$(d h1 secret ls --filter label=a=b --format '{{.Name}}')" "secret ls"
same "$(d h1 config ls --filter name=c1 -q)" "$(d h1 config inspect c1 --format '{{.ID}}')" "config ls"
refused 'already exists|AlreadyExists|name conflicts' d h1 secret create s1 "$LAB/conf"
refused 'invalid name' d h1 config create 'bad name' "$LAB/conf"
head -c 600000 /dev/zero >"$LAB/large"
refused 'size|secret data must be larger than 0 and less than 512000 bytes' d h1 secret create large "$LAB/large"
refused 'No such secret|not found' d h1 secret rm nosuch
refused 'nosuch.*not found' d h1 secret create --driver nosuch s2
same s1 "$(d h1 secret ls --format '{{.Name}}')" "secrets after what was refused"
d h1 secret rm s1 >/dev/null
d h1 config rm c1 >/dev/null
same '' "$(d h1 secret ls -q)$(d h1 config ls -q)" "what is left"

step "a worker is put out by force; by force the last manager leaves, and a new swarm begins"
refused 'is not down' d h1 node rm h3
d h1 node rm --force h3 >/dev/null
same '' "$(d h1 node ls --filter name=h3 -q)" "a node that was put out"
d h2 swarm leave --force >/dev/null
d h1 swarm leave --force >/dev/null
same inactive "$(info h1 .Swarm.LocalNodeState)" "state"
d h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
# The guides' network beside the routing mesh's. (A stock engine takes the command, and waits for ever.)
d h1 network create --driver overlay --subnet 10.0.0.0/24 mynetwork >/dev/null
! ours || eventually 60 has_subnet mynetwork
! ours || same 10.0.0.0/24 "$(net mynetwork '(index .IPAM.Config 0).Subnet')" "beside the routing mesh's"
