#!/bin/bash
# Containers by crun and by runc under conmon: run, limit, signal, exec, attach, survive, leave no trace.
# ctest: RUN_SERIAL 1
set -euo pipefail
. "$(dirname "$0")/../support/cgroup_view.sh"
for program in conmon busybox; do
    command -v "$program" >/dev/null || { echo "SKIP: needs $program"; exit 77; }
done

cgroup_folder

tried=0
for runtime in crun runc; do
    command -v "$runtime" >/dev/null || continue
    tried=1
    echo "--- $runtime"
    SKEP_TEST_RUNTIME=$runtime in_plain_cgroups "$SKEP_BUILD/tests/interop/interop_oci"
done
((tried)) || { echo "SKIP: needs crun or runc"; exit 77; }
