#!/bin/bash
# The tour that README offers works, from its first command to its last; with --keep it stays for play
# until Enter is pressed. Of it nothing is left: no process, mount, namespace, cgroup or file. A wrong
# command of ./dev is named.
. "$(dirname "$0")/../support/lab.sh"
lab_up 0

refused 'dev: no command nosuch.*usage' "$(dirname "$0")/../../dev" nosuch

mkfifo "$LAB/keys"
"$(dirname "$0")/../demo/demo.sh" --keep <>"$LAB/keys" >"$LAB/tour" 2>&1 &
tour=$!
ended() { [[ ! -d /proc/$tour ]] || has 'Press Enter' <"$LAB/tour"; }
within 300 ended || true
cat "$LAB/tour"
has 'Press Enter' <"$LAB/tour" || fail "the tour ended before its end"
read -ra suggested < <(sed -n 's/^The hosts stay. For example: //p' "$LAB/tour")
same 'web replicated' "$("${suggested[@]}" --format '{{.Name}} {{.Mode}}')" "what is there for play"
echo >"$LAB/keys"
wait "$tour" || fail "the tour failed when Enter was pressed"

step "what is left of it"
folder=${TMPDIR:-/tmp}/skep-lab.$tour
same '' "$(ls -d "$folder" /run/netns/skep"$tour"* 2>/dev/null || true)" "files and namespaces"
same '' "$(grep -F -e "$folder/" -e "netns/skep$tour" /proc/self/mountinfo || true)" "mounts"
same '' "$(find /sys/fs/cgroup -type d -path "*/skep$tour-h*" 2>/dev/null || true)" "cgroups"
same '' "$(grep -ls "skep-lab[.]$tour/" /proc/[0-9]*/cmdline || true)" "processes"
