# shellcheck shell=bash
# A mount namespace of the test's own with a plain cgroup v1 tree: crun refuses the hybrid layout that
# many build machines have, and tests may leave nothing in the machine's own tree.
#
#   . cgroup_view.sh
#   in_plain_cgroups COMMAND...     runs the command there, as root; its mounts vanish with it
#   cgroup_folder                   names a folder of the test's own for cgroups, $SKEP_TEST_CGROUP;
#                                   what it holds at the test's end is killed and removed
#
# Exits 77 with a line on why where that cannot be.

cgroup_view_enter()
{
    local new=$1 dir name
    shift
    mkdir -p "$new"
    mount -t tmpfs -o mode=755 cgroups "$new"
    for dir in /sys/fs/cgroup/*; do
        name=${dir##*/}
        [[ $name != unified ]] && mountpoint -q "$dir" || continue
        mkdir "$new/$name"
        mount --bind "$dir" "$new/$name"
    done
    while read -r _ _ _ _ dir _; do
        [[ $dir == /sys/fs/cgroup* ]] && printf '%s\n' "$dir"
    done </proc/self/mountinfo | sort -r | while read -r dir; do umount "$dir"; done
    mount --rbind "$new" /sys/fs/cgroup
    exec "$@"
}

in_plain_cgroups()
{
    [[ $(id -u) == 0 ]] || { echo "SKIP: needs root"; exit 77; }
    local new
    if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
        unshare --mount --propagation private "$@"
        return
    fi
    new=$(mktemp -d)
    local status=0
    unshare --mount --propagation private bash -c \
        '. "$0"; cgroup_view_enter "$@"' "${BASH_SOURCE[0]}" "$new" "$@" || status=$?
    rmdir "$new"
    return "$status"
}

cgroup_folder()
{
    local tree
    for tree in /sys/fs/cgroup/*/skep-test.* /sys/fs/cgroup/skep-test.*; do
        # Of a test that was killed.
        [[ ! -d $tree || -d /proc/${tree##*.} ]] || cgroup_folder_clean "/${tree##*/}"
    done
    export SKEP_TEST_CGROUP=/skep-test.$$
    trap 'cgroup_folder_clean "$SKEP_TEST_CGROUP"' EXIT
}

cgroup_folder_clean()
{
    local tree i
    for tree in /sys/fs/cgroup/*"$1" "/sys/fs/cgroup$1"; do
        for ((i = 0; i < 100; i++)); do
            [[ -d $tree ]] || break
            find "$tree" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -9 2>/dev/null || true
            find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    done
}
