#!/bin/bash
# Our client joins a stock swarm as a worker, step by step, and keeps a session: the stock manager calls
# it Ready for a minute. What must be refused is refused with the right status.
# ctest: COST 80
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker openssl
lab_up 2

manager="$(ip_of h1):2377"
node=$LAB/h2/node
client() { local verb=$1; shift; on h2 "$SKEP_BUILD/tests/interop/interop_join_stock" "$verb" "$node" "$@"; }

step "a stock manager on h1"
stock_start h1
stock h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(stock h1 swarm join-token --quiet worker)

step "a wrong token, and a token of another cluster, get nowhere"
mkdir -p "$node"
secret=${token##*-}
refused 'INVALID_ARGUMENT: A valid join token is necessary to join this cluster' \
  client join "$manager" "${token%-*}-0000000000000000000000001"
refused 'INVALID_ARGUMENT: invalid join token' client join "$manager" "SWMTKN-1-nonsense"
refused "UNAUTHENTICATED: remote CA does not match fingerprint. Expected: [0-9a-f]{64}" \
  client join "$manager" "SWMTKN-1-0000000000000000000000000000000000000000000000000a-$secret"
[[ ! -e $node/swarm-node.crt ]] || fail "a refused join left a certificate"

step "the right token: root by digest, request, certificate"
id=$(client join "$manager" "$token")
openssl verify -CAfile "$node/swarm-root-ca.crt" "$node/swarm-node.crt" >/dev/null
same "$(stock h1 swarm ca)" "$(<"$node/swarm-root-ca.crt")" "the root certificate"
subject=$(openssl x509 -in "$node/swarm-node.crt" -noout -subject)
[[ $subject == *"OU = swarm-worker, CN = $id" ]] || fail "subject: $subject"

step "a session with heartbeats: Ready for 60 s"
start h2 agent "$SKEP_BUILD/tests/interop/interop_join_stock" session "$node" "$manager" 300
status() { stock h1 node inspect "$id" --format '{{.Status.State}}'; }
is_ready() { [[ $(status) == ready ]]; }
eventually 60 is_ready
same h2 "$(stock h1 node inspect "$id" --format '{{.Description.Hostname}}')" "the host name"
same x86_64 "$(stock h1 node inspect "$id" --format '{{.Description.Platform.Architecture}}')" "the platform"
same "$(nproc)000000000" "$(stock h1 node inspect "$id" --format '{{.Description.Resources.NanoCPUs}}')" "the processors"
same "$(stock h1 swarm ca)" "$(stock h1 node inspect "$id" --format '{{.Description.TLSInfo.TrustRoot}}' | sed '/^$/d')" "tls_info"
begun=$SECONDS
while ((SECONDS - begun < 60)); do
  same ready "$(status)" "the node after $((SECONDS - begun)) s"
  alive h2 agent || fail "the session ended"
  sleep 1
done
grep -q '^assignments 1 ' "$LAB/h2/agent.log" || fail "no assignments came"
kill9 h2 agent

step "a worker's certificate on calls for managers"
denied='PERMISSION_DENIED: Permission denied: unauthorized peer role: .*remote certificate not part of OUs: \[swarm-manager\]'
refused "$denied" client call "$manager" /docker.swarmkit.v1.Control/ListNodes
refused "$denied" client call "$manager" /docker.swarmkit.v1.RaftMembership/Join
refused 'UNIMPLEMENTED: unknown service' client call "$manager" /docker.swarmkit.v1.Nobody/Call

step "an expired certificate, signed by the cluster's own key"
client root
in_sequence stock h1 swarm ca --rotate --detach --quiet --ca-cert "$node/ca.crt" --ca-key "$node/ca.key"
# The rotation ends once every node has a certificate of the new root; ours is removed and comes anew.
node_down() { [[ $(status) == down ]]; }
eventually 90 node_down
stock h1 node rm --force "$id" >/dev/null
rotated() { [[ $(stock h1 swarm ca) == "$(<"$node/ca.crt")" ]]; }
eventually 90 rotated
id=$(client join "$manager" "$(stock h1 swarm join-token --quiet worker)")
refused 'INVALID_ARGUMENT: session invalid|NOT_FOUND: node not registered' \
  client call "$manager" /docker.swarmkit.v1.Dispatcher/Heartbeat
client expire
# Alert 42 is bad_certificate (RFC 8446 section 6): the handshake itself is refused.
refused '^UNAVAILABLE: connection error: the peer ended TLS with alert 42' \
  client call "$manager" /docker.swarmkit.v1.Dispatcher/Heartbeat
