#!/bin/bash
# Containers by crun and by runc under conmon: run, limit, signal, exec, attach, survive, leave no trace.
# ctest: TIMEOUT 300 RUN_SERIAL 1
set -euo pipefail
. "$(dirname "$0")/../support/cgroup_view.sh"
for program in conmon busybox; do
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

tried=0
for runtime in crun runc; do
    command -v "$runtime" >/dev/null || continue
    tried=1
    echo "--- $runtime"
    SKEP_TEST_RUNTIME=$runtime in_plain_cgroups "$SKEP_BUILD/tests/interop/interop_oci"
done
((tried)) || { echo "SKIP: needs crun or runc"; exit 77; }
