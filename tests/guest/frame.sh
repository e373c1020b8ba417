#!/bin/bash
# The frame of skepd on Debian's own kernel: cgroup v2, and the version of Landlock it has.
# ctest: TIMEOUT 1000
. "$(dirname "$0")/../support/guest.sh"
in_guest "$0" "$@"
exec bash "$(dirname "$0")/../interop/frame.sh"
