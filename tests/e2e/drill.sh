#!/bin/bash
# Two managers of one kind and one of the other, whose leadership moves between kinds every few seconds
# while services are made, scaled and removed through all three: none is lost, doubled or changed, nor
# is an address or a port. DRILL_SECONDS=600 is the long form; DRILL_FORMS picks one.
# ctest: COST 40
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker dockerd python3
LAB_STOP_SECONDS=60
seconds=${DRILL_SECONDS:-10}
pause_ms=${DRILL_PAUSE_MS:-1500}
forms=${DRILL_FORMS:-stock,stock,skep skep,skep,stock}

ask() { local host=$1; shift; if [[ ${kinds[${host#h}-1]} == stock ]]; then stock "$host" "$@"; else skep "$host" "$@"; fi; }
socket_of() { if [[ ${kinds[${1#h}-1]} == stock ]]; then echo "$LAB/$1/docker.sock"; else echo "$LAB/$1/skep.sock"; fi; }
start_kind() { if [[ ${kinds[${1#h}-1]} == stock ]]; then stock_start "$1"; else skep_start "$1"; fi; }
# The first manager of ours.
skep_host() { local i; for i in "${!kinds[@]}"; do [[ ${kinds[i]} == stock ]] || { echo "${hosts[i]}"; return; }; done; }
settled() { [[ $(ask "$1" node ls --format '{{.Status}} {{.ManagerStatus}}' | sort | tr '\n' ,) == 'Ready Leader,Ready Reachable,Ready Reachable,' ]]; }

drill()
{
  local host token led sockets=()
  kinds=("$@")
  for host in "${hosts[@]}"; do start_kind "$host"; done
  ask "${hosts[0]}" swarm init --advertise-addr "$(ip_of "${hosts[0]}")" >/dev/null
  token=$(ask "${hosts[0]}" swarm join-token --quiet manager)
  for host in "${hosts[@]:1}"; do
    ask "$host" swarm join --token "$token" "$(ip_of "${hosts[0]}"):2377" >/dev/null
  done
  for host in "${hosts[@]}"; do
    eventually 60 settled "$host"
    sockets+=("$(socket_of "$host")")
  done
  # One that moves leadership needs a manager's certificate; each kind keeps it in the same layout.
  host=${hosts[2]}
  cp -r "$(find "$LAB/$host" -name swarm-node.crt -printf '%h\n' -quit)" "$LAB/certificates"
  start "$host" lead "$SKEP_BUILD/tests/interop/interop_lead" "$(ip_of "$host"):2377" \
    "$LAB/certificates" "$seconds" "$pause_ms"
  # Its commits are numbered as those in the logs of our managers.
  start "$host" record "$SKEP_BUILD/tests/interop/interop_record" "$(ip_of "$(skep_host)"):2377" "$LAB/certificates"
  eventually 60 grep -q . "$LAB/$host/record.log"
  python3 "$here/drill.py" "$seconds" "$LAB/$host/record.log" "$(echo "$LAB"/*/skepd.log)" "${sockets[@]}"
  # It goes on until each has led.
  eventually 90 test -e "$LAB/$host/lead.exit"
  alive "$host" record || fail "the record ended"
  stop "$host" record
  led=$(sed -n 's/^led \(.*\):2377$/\1/p' "$LAB/$host/lead.log")
  echo "leadership moved $(wc -l <<<"$led") times"
  for host in "${hosts[@]}"; do
    grep -qF "$(ip_of "$host")" <<<"$led" || fail "$host (${kinds[${host#h}-1]}) never led"
  done
  rm -rf "$LAB/certificates" "$LAB/${hosts[2]}"/{lead,record}.log
}

lab_up 3
for form in $forms; do
  step "managers: $form, $seconds s"
  IFS=, read -ra list <<<"$form"
  hosts=(h1 h2 h3)
  drill "${list[@]}"
  for host in "${hosts[@]}"; do
    if [[ ${kinds[${host#h}-1]} == stock ]]; then stock_stop "$host"; else skep_stop "$host"; fi
    host_reboot "$host"
    rm -rf "$LAB/$host/skep" "$LAB/$host/exec" "$LAB/$host/docker"
  done
done
