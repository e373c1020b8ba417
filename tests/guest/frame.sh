#!/bin/bash
# Where Debian's own kernel differs for one process: confinement by the Landlock it has (the unit tests
# of it), and the frame of skepd with cgroup v2.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
mount -t securityfs securityfs /sys/kernel/security
grep -q landlock /sys/kernel/security/lsm || { echo "this kernel has no Landlock"; exit 1; }
CK_RUN_SUITE=confine_io "$SKEP_BUILD/tests/test_proto_base"
exec bash "$(dirname "$0")/../interop/frame.sh"
