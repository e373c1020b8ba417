#!/bin/bash
# What a stock engine answered to lists of requests (tests/interop/tapes), asked of skepd: status, kind, members,
# types and values. REPLAY=stock plays the tapes to a stock dockerd, which fits them all; REPLAY=record makes
# them anew with it.
. "$(dirname "$0")/../support/lab.sh"
here=$(dirname "$0")
lab_needs docker python3
lab_up 1
sock=$LAB/h1/skep.sock
case ${REPLAY:-skep} in
skep) skep_image h1; skep_start h1 ;;
*) lab_needs dockerd; stock_start h1; stock_image h1; sock=$LAB/h1/docker.sock ;;
esac
if [[ ${REPLAY:-} == record ]]; then
  for asks in "$here"/tapes/*.asks; do
    step "$asks is recorded"
    "$here/replay.py" record "$sock" "addr=$(ip_of h1)" "$asks" >"$LAB/tape"
    cp "$LAB/tape" "${asks%.asks}.tape"
  done
  exit
fi
"$here/replay.py" play "$sock" "addr=$(ip_of h1)" "$here"/tapes/*.tape || fail "some answers differ"
