#!/bin/bash
# Certificates signed by CFSSL's server in the manager's place: a rotation to its root, nodes of both
# kinds that join and renew, what happens while it is away, and the way back to a root of the cluster's own.
# SKEP_E2E_ENGINE=stock runs the same on a stock manager, to show that the script itself is honest.
# ctest: COST 40
# ctest-stock: TIMEOUT 1800 COST 35
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker dockerd openssl cfssl nft
lab_commands
lab_up 3

pki=$LAB/pki
swarm_dir() { if ours; then echo "$LAB/$1/skep/swarm"; else echo "$LAB/$1/docker/swarm"; fi; }

# cfssl_up: CFSSL's server on h3, which lets in whom one of the two roots vouches for.
cfssl_up()
{
  start h3 cfssl cfssl serve -address "$(ip_of h3)" -port 8888 -ca "$pki/ca.crt" -ca-key "$pki/ca.key" \
    -config "$pki/cfssl.json" -tls-cert "$pki/server.crt" -tls-key "$pki/server.key" \
    -mutual-tls-ca "$pki/clients.crt"
  listens() { on h3 ss -Hltn 'sport = :8888' | has 8888; }
  eventually 60 listens
}

step "a root, a certificate for the server, CFSSL's profiles"
mkdir "$pki"
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
new -x509 -days 3650 -subj /CN=swarm-ca -keyout "$pki/ca.key" -out "$pki/ca.crt" \
  -addext keyUsage=critical,keyCertSign,cRLSign
new -subj /CN=cfssl -keyout "$pki/server.key" -out "$pki/server.csr"
openssl x509 -req -in "$pki/server.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
  -out "$pki/server.crt" 2>/dev/null -extfile <(printf 'subjectAltName=IP:%s,DNS:ca.test\nextendedKeyUsage=serverAuth\n' "$(ip_of h3)")
cat >"$pki/cfssl.json" <<'JSON'
{"signing": {"default": {"expiry": "2160h",
                         "usages": ["digital signature", "key encipherment", "server auth", "client auth"]},
             "profiles": {"CA": {"expiry": "43800h", "usages": ["cert sign", "crl sign"], "ca_constraint": {"is_ca": true}}}}}
JSON

step "a manager with a root of its own"
engines h1
d h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
d h1 swarm ca >"$pki/first.crt"
cat "$pki/ca.crt" "$pki/first.crt" >"$pki/clients.crt"
outside=protocol=cfssl,url=https://ca.test:8888/api/v1/cfssl/sign,cacert=$pki/ca.crt
printf '127.0.0.1 localhost\n%s ca.test\n' "$(ip_of h3)" >"$LAB/hosts"
on h1 mount --bind "$LAB/hosts" /etc/hosts
rotate() { d h1 swarm ca --rotate --detach --ca-cert "$pki/ca.crt" --external-ca "$1"; }

step "nobody to sign for the new root: refused, and nothing has changed"
refused 'there must be at least one valid, reachable external CA corresponding to the desired CA certificate' rotate "$outside"
refused 'there must be at least one valid, reachable external CA' rotate "protocol=cfssl,url=https://$(ip_of h3):8888/"
same "$(<"$pki/first.crt")" "$(d h1 swarm ca)" "the root"

step "CFSSL's root takes the place of the first one"
cfssl_up
eventually 60 rotate "$outside" >/dev/null
is_root() { [[ $(d h1 swarm ca) == "$(<"$1")" ]]; }
eventually 90 is_root "$pki/ca.crt"
signed_by() { openssl verify -CAfile "$2" "$(swarm_dir "$1")/certificates/swarm-node.crt"; }
eventually 60 signed_by h1 "$pki/ca.crt"

step "a stock worker joins; CFSSL signed its certificate too"
stock_start h2
# Their command gives up after 20 s, and their node goes on.
join() { stock h2 swarm join --token "$(d h1 swarm join-token -q worker)" "$(ip_of h1):2377" || joined; }
joined() { [[ $(stock h2 info --format '{{.Swarm.LocalNodeState}}') == active ]]; }
eventually 60 join
verified() { openssl verify -CAfile "$pki/ca.crt" "$LAB/h2/docker/swarm/certificates/swarm-node.crt"; }
verified >/dev/null || fail "the worker's certificate is not CFSSL's"
subject=$(openssl x509 -in "$LAB/h2/docker/swarm/certificates/swarm-node.crt" -noout -subject -ext subjectAltName)
[[ $subject == *"OU = swarm-worker"* && $subject == *DNS:swarm-worker* && $subject != *swarm-manager* ]] || fail "subject: $subject"
ready() { [[ $(d h1 node ls --filter name=h2 --format '{{.Status}}') == Ready ]]; }
eventually 60 ready

step "while CFSSL is away nobody joins, and nothing that needs it is accepted"
id=$(d h1 node ls --filter name=h2 -q)
stock h2 swarm leave >/dev/null
kill9 h3 cfssl
refused 'corresponding to the current CA certificate' d h1 swarm update --task-history-limit 4
down() { [[ $(d h1 node inspect "$id" --format '{{.Status.State}}') == down ]]; }
eventually 60 down
d h1 node rm "$id" >/dev/null
join >"$LAB/joined" 2>&1 & joining=$!
pending() { [[ $(d h1 node ls -q | wc -l) == 2 ]]; }
eventually 60 pending
same 1 "$(d h1 node ls --filter membership=accepted --format '{{.Hostname}}' | grep -c '^h1$')" "h1"
[[ ! -e $LAB/h2/docker/swarm/certificates/swarm-node.crt ]] || fail "a certificate from nowhere"
cfssl_up
wait "$joining" || true
eventually 60 join
eventually 60 ready
verified >/dev/null || fail "the worker's certificate is not CFSSL's"

step "back to a root of the cluster's own, which CFSSL signs across"
again() { d h1 swarm ca --rotate --detach; }
eventually 60 again >/dev/null
own_root() { d h1 swarm ca >"$pki/last.crt" && ! cmp -s "$pki/last.crt" "$pki/ca.crt" && [[ -s $pki/last.crt ]]; }
eventually 90 own_root
eventually 60 signed_by h1 "$pki/last.crt"
now_verified() { openssl verify -CAfile "$pki/last.crt" "$LAB/h2/docker/swarm/certificates/swarm-node.crt"; }
eventually 60 now_verified
kill9 h3 cfssl
eventually 60 d h1 swarm update --task-history-limit 4
