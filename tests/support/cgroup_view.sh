# shellcheck shell=bash
# A mount namespace of the test's own with a plain cgroup v1 tree: crun refuses the hybrid layout that
# many build machines have, and tests may leave nothing in the machine's own tree.
#
#   . cgroup_view.sh
#   in_plain_cgroups COMMAND...     runs the command there, as root; its mounts vanish with it
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
