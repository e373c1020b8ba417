#!/bin/bash
# Tasks as containers: a busybox image, its root, volumes, logs and health checks under crun and conmon.
# ctest: RUN_SERIAL 1
set -euo pipefail
. "$(dirname "$0")/../support/cgroup_view.sh"
for program in conmon busybox crun umoci; do
    command -v "$program" >/dev/null || { echo "SKIP: needs $program"; exit 77; }
done

cgroup_folder

SKEP_TEST_RUNTIME=crun in_plain_cgroups "$SKEP_BUILD/tests/interop/interop_container"
