#!/bin/bash
# A stock swarm becomes one of Skep's node by node, as README says, while its service answers: what it
# holds (services, network, secret, tokens) is the same in the end. CI replaces a manager and a
# worker; MIGRATE_ALL=1 three managers and a worker.
. "$(dirname "$0")/../support/lab.sh"
lab_needs docker dockerd conmon crun umoci busybox nft curl
olds=(h1 h2) managers=1
[[ -z ${MIGRATE_ALL:-} ]] || { olds=(h1 h2 h3 h4) managers=3; }
count=${#olds[@]}
first=h$((count + 1)) client=h$((count + 2))
lab_up $((count + 2))
skep_image "$first" "${olds[@]}"
# The machines that have skepd by now.
moved=" "
ask() { local host=$1; shift; if [[ $moved == *" $host "* ]]; then skep "$host" "$@"; else stock "$host" "$@"; fi; }
role() { if [[ ${1#h} -le $managers ]]; then echo manager; else echo worker; fi; }

step "a stock swarm with a service on an overlay network, which has a secret"
for host in "${olds[@]}"; do stock_start "$host"; done
stock_image "${olds[@]}"
stock h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
for host in "${olds[@]:1}"; do
  stock "$host" swarm join --token "$(stock h1 swarm join-token -q "$(role "$host")")" "$(ip_of h1):2377" >/dev/null
done
in_sequence stock h1 swarm update --dispatcher-heartbeat 1s >/dev/null
stock h1 network create -d overlay --subnet 10.30.0.0/24 blue >/dev/null
printf s3cret | stock h1 secret create s1 - >/dev/null
# (This kernel may lack what a stock engine's service addresses need, so each node publishes its own.)
stock h1 service create --detach --quiet --no-resolve-image --name web --mode global --network blue --secret s1 \
  --endpoint-mode dnsrr --publish mode=host,published=8081,target=80 --stop-grace-period 1s "$LAB_IMAGE" \
  sh -c 'mkdir /w; cat /run/secrets/s1 >/w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
answers() { [[ $(on "$client" curl -s -m 15 "http://$(ip_of "$1"):8081/") == s3cret ]]; }
for host in "${olds[@]}"; do eventually 60 answers "$host"; done
held() { ask "$1" secret ls -q; ask "$1" network ls -q --no-trunc --filter name=blue; ask "$1" service ls -q; ask "$1" swarm join-token -q worker; ask "$1" swarm join-token -q manager; }
before=$(held h1)

# From now on somebody must always answer.
(
  while [[ ! -e $LAB/done ]]; do
    at=''
    for host in "${olds[@]}" "$first"; do ! answers "$host" || at=$host; done
    [[ $at ]] || echo "nobody at $(date +%T)"
  done
) >"$LAB/silence" 2>/dev/null &
watching=$!

ready() { [[ $(ask "$1" node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}') == *"$2 Ready"* ]]; }
controls() { [[ $(ask "$1" info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}') == "active $2" ]]; }

step "a machine with skepd joins as a manager"
skep_start "$first"
moved+="$first "
skep "$first" swarm join --token "$(stock h1 swarm join-token -q manager)" "$(ip_of h1):2377" >/dev/null
eventually 60 controls "$first" true
eventually 60 answers "$first"

for ((i = count - 1; i >= 0; i--)); do
  host=${olds[i]}
  step "$host, a $(role "$host"), is drained, leaves, and comes back with skepd"
  in_sequence skep "$first" node update --availability drain "$host" >/dev/null
  drained() { [[ -z $(skep "$first" node ps "$host" -q --filter desired-state=running) ]]; }
  eventually 60 drained
  if [[ $(role "$host") == manager ]]; then
    eventually 60 skep "$first" node demote "$host"
    eventually 60 controls "$host" false
  fi
  eventually 60 stock "$host" swarm leave
  down() { skep "$first" node rm "$host"; }
  eventually 60 down
  stock_stop "$host"
  # An engine now and then forgets the namespace of a network that it left.
  on "$host" sh -c 'for it in /run/docker/netns/*; do umount "$it" 2>/dev/null; done; :'
  skep_start "$host"
  moved+="$host "
  skep "$host" swarm join --token "$(skep "$first" swarm join-token -q "$(role "$host")")" "$(ip_of "$first"):2377" >/dev/null
  eventually 60 ready "$first" "$host"
  eventually 60 answers "$host"
done

step "all is there as before, nobody was away, and names know all tasks"
touch "$LAB/done"
wait "$watching"
same '' "$(<"$LAB/silence")" "when nobody answered"
same "$before" "$(held "$first")" "what the swarm holds"
named() { [[ $(skep h1 exec "$(skep h1 ps -q | head -1)" nslookup tasks.web. 2>/dev/null | grep -c 'Address.*10\.30\.0\.') == $((count + 1)) ]]; }
eventually 60 named
