#!/bin/bash
# The two versions of dockerode that dashboards use, against our API. ./dev setup fetches them where there is
# npm; a machine without skips this.
here=$(dirname "$0")
. "$here/../support/lab.sh"
lab_needs docker node
modules=${SKEP_NODE_MODULES:-$(realpath "$here/../..")/.cache/node/node_modules}
[[ -d $modules/dockerode-4.0.7 ]] || skip "needs dockerode (./dev setup fetches it where there is npm)"
lab_up 1
skep_start h1
skep h1 swarm init --advertise-addr "$(ip_of h1)" >/dev/null
for version in 4.0.2 4.0.7; do
  step "dockerode $version"
  NODE_PATH=$modules node "$here/clients.js" "$LAB/h1/skep.sock" "dockerode-$version"
done
