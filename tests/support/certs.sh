# shellcheck shell=bash
# certs_make FOLDER: a root and certificates as a swarm has them, made with openssl: ca.pem, and
# server.pem/.key and client.pem/.key (chain and key) of a manager and a worker.
certs_make()
{
  local folder=$1 who unit names
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj /CN=swarm-ca -keyout "$folder/ca.key" -out "$folder/ca.pem" \
    -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  for who in server client; do
    unit=swarm-manager names=DNS:swarm-manager,DNS:swarm-ca
    [[ $who == server ]] || unit=swarm-worker names=DNS:swarm-worker
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
      -subj "/O=cluster1/OU=$unit/CN=node-$who" -keyout "$folder/$who.key" \
      -out "$folder/$who.csr" 2>/dev/null
    openssl x509 -req -in "$folder/$who.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" \
      -CAcreateserial -days 3650 -out "$folder/$who.pem" -extfile <(printf '%s\n' \
      "subjectAltName=$names" extendedKeyUsage=serverAuth,clientAuth \
      keyUsage=critical,digitalSignature,keyEncipherment) 2>/dev/null
  done
}
