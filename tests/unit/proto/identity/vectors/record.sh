#!/bin/bash
# Records what a stock dockerd writes about its node's identity, as the test vectors beside this script.
# Run it by hand to record afresh; the unit tests read the files and take "now" from when.txt. The keys
# belong to a swarm that lived for a minute and guard nothing.
#
#   manager/          certificates of an unlocked manager, and its tokens
#   worker/           certificates of a worker
#   locked/           the same manager after `swarm update --autolock`, with its unlock key
#   rotating/         the manager after a root rotation: its chain carries the cross-signed new root, and
#                     manager/swarm-root-ca.crt is the old one
. "$(dirname "$0")/../../../../support/lab.sh"
out=$(cd "$(dirname "$0")" && pwd)
lab_needs dockerd docker
lab_up 2
certificates() { echo "$LAB/$1/docker/swarm/certificates"; }
keep() { mkdir -p "$out/$2"; install -m 644 "$(certificates "$1")"/swarm-* "$out/$2/"; }

stock_start h1
stock_start h2
stock h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
token=$(stock h1 swarm join-token --quiet worker)
stock h2 swarm join --token "$token" --advertise-addr "$(ip_of h2)" "$(ip_of h1):2377"
keep h1 manager
keep h2 worker
date -u +%Y-%m-%dT%H:%M:%SZ >"$out/when.txt"
printf '%s\n' "$token" >"$out/manager/worker.token"
stock h1 swarm join-token --quiet manager >"$out/manager/manager.token"
stock h1 info --format '{{.Swarm.NodeID}} {{.Swarm.Cluster.ID}}' >"$out/manager/ids.txt"
stock h2 info --format '{{.Swarm.NodeID}}' >"$out/worker/ids.txt"

stock h1 swarm update --autolock >/dev/null
locked() { grep -q '^-----BEGIN ENCRYPTED' "$(certificates h1)/swarm-node.key"; }
eventually 20 locked
# Locking also renews the certificate and rotates the data key; wait until the pair is at rest.
settled()
{
  local before after
  before=$(cat "$(certificates h1)"/swarm-node.* | sha256sum)
  sleep 3
  after=$(cat "$(certificates h1)"/swarm-node.* | sha256sum)
  [[ $before == "$after" ]]
}
eventually 40 settled
keep h1 locked
stock h1 swarm unlock-key --quiet >"$out/locked/unlock.key"
stock h1 swarm update --autolock=false >/dev/null
unlocked() { ! locked; }
eventually 20 unlocked

stock_stop h2
stock h1 swarm ca --rotate --detach
rotating() { [[ $(grep -c BEGIN "$(certificates h1)/swarm-node.crt") == 2 ]]; }
eventually 40 rotating
eventually 40 settled
keep h1 rotating
ls -R "$out"
