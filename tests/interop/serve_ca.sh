#!/bin/bash
# A stock dockerd joins our server: it fetches our root CA by the token's digest, gets a certificate
# for its request, and what it then keeps on disk verifies with openssl.
. "$(dirname "$0")/../support/lab.sh"
lab_needs dockerd docker openssl
lab_up 2

step "our CA on h1, a stock dockerd on h2"
mkfifo "$LAB/h1/stdin"
exec 7<>"$LAB/h1/stdin"
# shellcheck disable=SC2016 # expands on the host
start h1 ca bash -c 'exec "$0" "$1" <"$2"' "$SKEP_BUILD/tests/interop/interop_serve_ca" \
  "$(ip_of h1):2377" "$LAB/h1/stdin"
eventually 60 grep -q ^SWMTKN-1- "$LAB/h1/ca.log"
token=$(grep ^SWMTKN-1- "$LAB/h1/ca.log")
stock_start h2

join() { stock h2 swarm join --token "$1" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377"; }

step "a token for another root is refused by the node"
other=${token%-*}; other=SWMTKN-1-0${other:10:49}-${token##*-}
[[ $other != "$token" ]] || other=${other/SWMTKN-1-0/SWMTKN-1-1}
refused 'remote CA does not match fingerprint' join "$other"
stock h2 swarm leave --force >/dev/null 2>&1 || true

step "a token with another secret is refused by us"
refused 'valid join token' join "${token%-*}-0000000000000000000000000"
stock h2 swarm leave --force >/dev/null 2>&1 || true

step "the right token brings a certificate"
join "$token" >"$LAB/h2/join.log" 2>&1 & # it waits for a dispatcher, which we are not
joining=$!
certificates=$LAB/h2/docker/swarm/certificates
kept() { local file; for file in root-ca.crt node.crt node.key; do test -s "$certificates/swarm-$file" || return 1; done; }
eventually 60 kept
node=$(awk '/^issued/ { id = $2 } END { print id }' "$LAB/h1/ca.log")

step "what lies on its disk verifies"
openssl verify -x509_strict -purpose sslclient -CAfile "$certificates/swarm-root-ca.crt" \
  "$certificates/swarm-node.crt" || fail "the node's certificate does not verify"
same "O = testcluster00000000000000, OU = swarm-worker, CN = $node" \
  "$(openssl x509 -in "$certificates/swarm-node.crt" -noout -subject | sed 's/^subject=//')" subject
same "$(openssl x509 -in "$certificates/swarm-node.crt" -noout -pubkey)" \
  "$(sed '/^kek-version/d; /^raft-dek/d; /^$/d' "$certificates/swarm-node.key" |
    openssl pkey -pubout)" "key and certificate"
kill "$joining" 2>/dev/null || true
stop h1 ca
