#!/bin/bash
# The API on the network: only with TLS and a client's certificate, by docker, skep and curl; servers
# are known by name and by address; plain TCP only when it is said that this is meant.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker openssl curl
lab_up 2

# signed NAME CA KIND EXTENSIONS: a key and a certificate, $LAB/NAME.{key,pem}.
signed()
{
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
  [[ $3 != rsa ]] || key=(-newkey rsa:2048)
  openssl req -new "${key[@]}" -nodes -keyout "$LAB/$1.key" -subj "/CN=$1" -out "$LAB/$1.csr" 2>/dev/null
  openssl x509 -req -in "$LAB/$1.csr" -CA "$LAB/$2.pem" -CAkey "$LAB/$2.key" -CAcreateserial -days 2 \
    -extfile <(printf '%b' "$4") -out "$LAB/$1.pem" 2>/dev/null
}
for ca in ca other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$ca" \
    -keyout "$LAB/$ca.key" -out "$LAB/$ca.pem" 2>/dev/null
done
signed server ca rsa "subjectAltName=IP:$(ip_of h1),DNS:manager.test\nextendedKeyUsage=serverAuth\n"
signed named ca ec "subjectAltName=DNS:manager.test\nextendedKeyUsage=serverAuth\n"
signed client ca rsa 'extendedKeyUsage=clientAuth\n'
signed stranger other ec 'extendedKeyUsage=clientAuth\n'

# by PROGRAM CERTIFICATE COMMAND...: on h2, over the network.
by()
{
  local program=$1 who=$2; shift 2
  on h2 env "DOCKER_CONFIG=$LAB/docker-config" timeout 60 "$program" -H "tcp://$(ip_of h1):2376" --tlsverify \
    --tlscacert "$LAB/ca.pem" --tlscert "$LAB/$who.pem" --tlskey "$LAB/$who.key" "$@" 2>&1
}
serve()
{
  skep_start h1 --host "tcp://0.0.0.0:2376" --tlsverify --tlscacert "$LAB/ca.pem" --tlscert "$LAB/$1.pem" --tlskey "$LAB/$1.key"
}
programs=("$LAB_DOCKER" "$SKEP_BUILD/skep")

step "a client with a certificate, known by the server's address"
serve server
for program in "${programs[@]}"; do
  same h1 "$(by "$program" client info --format '{{.Name}}')" "$program"
done
same OK "$(on h2 curl -sS --max-time 60 --cacert "$LAB/ca.pem" --cert "$LAB/client.pem" --key "$LAB/client.key" "https://$(ip_of h1):2376/_ping")" "curl"
same OK "$(on h2 curl -sS --max-time 60 --resolve "manager.test:2376:$(ip_of h1)" --cacert "$LAB/ca.pem" --cert "$LAB/client.pem" \
  --key "$LAB/client.key" "https://manager.test:2376/_ping")" "curl, by name"

step "somebody else's certificate, none, and no TLS"
for program in "${programs[@]}"; do refused '' by "$program" stranger info; done
refused '' on h2 curl -sS --max-time 60 --cacert "$LAB/ca.pem" "https://$(ip_of h1):2376/_ping"
refused '' on h2 curl -sS --max-time 60 "http://$(ip_of h1):2376/_ping"
refused '' on h2 curl -sS --max-time 60 --cacert "$LAB/other.pem" --cert "$LAB/client.pem" --key "$LAB/client.key" "https://$(ip_of h1):2376/_ping"
skep_stop h1

step "a server whose certificate has another name is none"
serve named
refused 'certificate' by "$SKEP_BUILD/skep" client info
refused 'certificate' by "$LAB_DOCKER" client info
skep_stop h1

step "plain TCP only when it is meant; what cannot work is refused"
valid() { "$SKEP_BUILD/skepd" --validate --config-file /dev/null "$@" 2>&1; }
refused 'without --tlsverify would let anybody' valid --host tcp://127.0.0.1:2375
refused 'without --tlsverify would let anybody' valid --host tcp://127.0.0.1:2375 --tls --tlscert a --tlskey b
refused 'tlsverify needs tlscacert' valid --host tcp://127.0.0.1:2376 --tlsverify --tlscert a --tlskey b
refused 'exclude each other' valid --host tcp://127.0.0.1:2376 --tlsverify --tls=false --tlscacert c --tlscert a --tlskey b
skep_start h1 --host tcp://127.0.0.1:2375 --tls=false
same OK "$(on h1 curl -sS --max-time 60 http://127.0.0.1:2375/_ping)" "plain"
grep -q 'open to everybody' "$LAB/h1/skepd.log" || fail "no warning"
same '660 0' "$(stat -c '%a %u' "$LAB/h1/skep.sock")" "who may use the socket"
skep_stop h1
[[ ! -e $LAB/h1/skep.sock ]] || fail "the socket is left"
