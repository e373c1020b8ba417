#!/bin/bash
# Containers by crun and conmon, and by runc: run, limit, signal, exec, attach, survive, leave no trace.
# ctest: TIMEOUT 300 RUN_SERIAL 1
set -euo pipefail
. "$(dirname "$0")/../support/cgroup_view.sh"
for program in crun conmon busybox; do
    command -v "$program" >/dev/null || { echo "SKIP: needs $program"; exit 77; }
done
in_plain_cgroups "$SKEP_BUILD/tests/interop/interop_oci"
