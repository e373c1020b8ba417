#!/bin/bash
# Confinement where the kernel has Landlock, as Debian's does: the unit tests of it, in the guest.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"

CK_RUN_SUITE=confine_io "$SKEP_BUILD/tests/test_proto_base"
mount -t securityfs securityfs /sys/kernel/security
grep -q landlock /sys/kernel/security/lsm || { echo "this kernel has no Landlock"; exit 1; }
