#!/bin/bash
# Each flag of the commands that users of a swarm know is given in some test of this folder: what the help
# of the docker commands on this machine lists is looked up in the scripts.
. "$(dirname "$0")/../support/lab.sh"
command -v docker >/dev/null || skip "needs the program docker"
mapfile -t dockers < <(type -a -P docker | xargs -n 1 realpath | sort -u)
python3 "$(dirname "$0")/flags.py" "${dockers[@]}" || fail "flags that no test gives"
