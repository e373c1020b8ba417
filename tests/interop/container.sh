#!/bin/bash
# Tasks as containers: a busybox image, its root, volumes, logs and health checks under crun and conmon.
# ctest: TIMEOUT 300 RUN_SERIAL 1
set -euo pipefail
. "$(dirname "$0")/../support/cgroup_view.sh"
for program in conmon busybox crun umoci; do
    command -v "$program" >/dev/null || { echo "SKIP: needs $program"; exit 77; }
done

# What a failed test leaves running.
clean()
{
    local tree
    for tree in /sys/fs/cgroup/*/skep-test /sys/fs/cgroup/skep-test; do
        [[ -d $tree ]] || continue
        find "$tree" -name cgroup.procs -exec cat {} + | xargs -r kill -9 2>/dev/null || true
        sleep 0.2
        find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}
trap clean EXIT

SKEP_TEST_RUNTIME=crun in_plain_cgroups "$SKEP_BUILD/tests/interop/interop_container"
