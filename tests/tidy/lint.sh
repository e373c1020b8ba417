#!/bin/bash
# lint.sh format|shell|static BUILD: what ready-made checkers say about the sources.
set -euo pipefail
cd "$(dirname "$0")/../.."

sources() { git ls-files -co --exclude-standard "$@" | while read -r f; do [[ ! -f $f ]] || echo "$f"; done; }
if ! git rev-parse --show-toplevel >/dev/null 2>&1; then echo "SKIP: not a clone"; exit 77; fi
needs() { command -v "$1" >/dev/null || { echo "SKIP: no $1 (./dev setup installs it)"; exit 77; }; }

case $1 in
format)
  needs clang-format
  sources '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | head -50
  ;;
shell)
  needs shellcheck
  { sources '*.sh'; sources | grep -v '\.' | while read -r f; do
      ! head -1 "$f" 2>/dev/null | grep -aq '^#!/bin/bash' || echo "$f"; done; } | xargs shellcheck
  ;;
static)
  needs clang-tidy
  # What .clang-tidy lists, over every file the build knows.
  sources '*.c' | grep -E '^(proto|raft|manager|agent|cmd)/' |
    xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$2" \
      --extra-arg=-Wno-unknown-warning-option 2>/dev/null
  ;;
*) sed -n 2p "$0"; exit 2 ;;
esac
