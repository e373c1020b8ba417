#!/bin/bash
# Images with the real skopeo and umoci: import, unpack, pull from a registry on loopback, save and load.
# ctest: RUN_SERIAL 1
set -euo pipefail
[[ $(id -u) == 0 ]] || { echo "SKIP: needs root"; exit 77; }
for program in skopeo umoci busybox tar; do
    command -v "$program" >/dev/null || { echo "SKIP: needs $program"; exit 77; }
done
# Mounts and the loopback interface of its own, which vanish with it.
unshare --mount --net --propagation private bash -c 'ip link set lo up && exec "$0"' \
    "$SKEP_BUILD/tests/interop/interop_image"
