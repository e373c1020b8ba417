#!/bin/bash
# The tour that README offers works, from its first command to its last.
# ctest: TIMEOUT 240
exec "$(dirname "$0")/../demo/demo.sh"
