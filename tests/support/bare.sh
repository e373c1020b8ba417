#!/bin/bash
# Does ./dev do all set-up itself? A bare Debian 12, in a folder, with this repository in it:
#
#   tests/support/bare.sh FOLDER [COMMAND...]      as root; the command is ./dev test unless given
#
# The folder is filled by debootstrap (minbase, some 300 MiB) if it is not there yet, and kept: remove it
# to be bare again. The root has processes, mounts and cgroups of its own, as a machine has, and this
# machine's network and apt sources, which the packages come by. What a machine has and this has not:
# systemd, and a kernel of Debian's (the tests' guest has one).
. "$(dirname "$0")/lab.sh"
folder=${1:?usage: bare.sh FOLDER [COMMAND...]}
repository=$(realpath "$(dirname "$0")/../..")
shift
(($#)) || set -- ./dev test
lab_needs debootstrap git

if [[ ! -d $folder ]]; then
  debootstrap --variant=minbase bookworm "$folder.new"
  cp -rt "$folder.new/etc/apt" /etc/apt/sources.list* /etc/apt/apt.conf.d
  find "$folder.new/etc/apt/sources.list.d" -type f ! -name 'debian*' -delete
  [[ -e /etc/apt/sources.list ]] || rm -f "$folder.new/etc/apt/sources.list"
  git clone --quiet --no-hardlinks "$repository" "$folder.new/root/skep"
  mv "$folder.new" "$folder"
fi
folder=$(realpath "$folder")
LAB_ID=bare$$
trap 'find /sys/fs/cgroup -depth -type d -path "*/bare'$$'-root*" -exec rmdir {} + 2>/dev/null' EXIT

# Runs as process 1 of the new namespaces.
bare_init()
{
  set -euo pipefail
  local folder=$1
  shift
  # A root is a mount: containers' own roots are swapped against it.
  mount --bind "$folder" "$folder"
  mount -t proc proc "$folder/proc"
  mount -t sysfs sysfs "$folder/sys"
  mount --rbind /dev "$folder/dev"
  mount -t tmpfs tmpfs "$folder/run"
  mkdir "$folder/run/lock"
  cat /etc/resolv.conf >"$folder/etc/resolv.conf"
  cd "$folder"
  mkdir -p old
  pivot_root . old
  umount -l old
  rmdir old
  host_init_cgroups
  hostname bare
  cd /root/skep
  env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

(
  for group in $(host_cgroups_outside root); do echo 0 >"$group/cgroup.procs"; done
  exec unshare --mount --propagation private --uts --ipc --cgroup --pid --fork --kill-child \
    bash -c "$(declare -f bare_init host_init_cgroups); bare_init \"\$@\"" bare "$folder" "$@"
)
