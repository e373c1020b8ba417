#!/bin/bash
# gRPC as gRPC C++ speaks it: it as client against our server, and as server against our client, with
# and without mutual TLS. All four kinds of call, deadlines, cancellation, 4 MiB messages, errors with
# details, metadata, trailers.
. "$(dirname "$0")/../support/lab.sh"
. "$(dirname "$0")/../support/certs.sh"
[[ -x $SKEP_BUILD/tests/interop/grpc/interop_grpc_peer ]] ||
  skip "needs gRPC C++ (./dev setup installs it)"
command -v openssl >/dev/null || skip "needs openssl"

ours=$SKEP_BUILD/tests/interop/grpc/interop_grpc
theirs=$SKEP_BUILD/tests/interop/grpc/interop_grpc_peer
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
certs_make "$folder"

# talk CLIENT SERVER CERTS: the server ends when the pipe to it does.
talk()
{
  local client=$1 server=$2 certs=$3 port
  coproc SERVER { "$server" serve "$certs"; }
  local pid=$SERVER_PID
  read -r port <&"${SERVER[0]}"
  timeout 60 "$client" check "127.0.0.1:$port" "$certs" || fail "$client against $server, $certs"
  eval "exec ${SERVER[1]}>&-"
  wait "$pid" || fail "$server did not end well"
}

for certs in none "$folder"; do
  step "their client, our server, ${certs/$folder/mutual TLS}"
  talk "$theirs" "$ours" "$certs"
  step "our client, their server, ${certs/$folder/mutual TLS}"
  talk "$ours" "$theirs" "$certs"
  step "our client, our server, ${certs/$folder/mutual TLS}"
  talk "$ours" "$ours" "$certs"
done
