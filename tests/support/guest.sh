# shellcheck shell=bash
# A guest machine with Debian's own kernel, for tests of what the machine's kernel may lack (IPVS,
# IPsec, WireGuard, cgroup v2): a bash library. A test that wants to run in a guest starts with
#
#   . "$(dirname "$0")/../support/guest.sh"
#   in_guest "$0" "$@"       # boots the guest, runs this script in it, exits with its status
#   ...                      # what follows runs in the guest, as root
#
# QEMU boots it in about ten seconds without hardware virtualisation. Its root is this
# machine's root file system, read-only, below a throw-away tmpfs: every program is there, nothing the
# test writes lasts. The kernel comes from Debian's package, unpacked once into a cache and never
# installed ("guest.sh fetch", which ./dev setup does).
#
# How it works: the test's output is the guest's second serial port; the exit status leaves through
# QEMU's isa-debug-exit device: QEMU ends with 65 + 2 * status, which nothing else ends it with. Of 60
# and more only the 77 of a skipped test passes as it is; the others become 1.
#
# An emulated machine on a busy one is very slow. All deadlines in the guest are multiplied (LAB_PATIENCE,
# and CK_TIMEOUT_MULTIPLIER for unit tests), and a guest that says nothing any more is ended after
# GUEST_SECONDS, with what its kernel said last. A test in ctest needs a TIMEOUT beyond that.
set -euo pipefail

GUEST_CACHE=${SKEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skep}/guest
GUEST_MEM_MIB=${GUEST_MEM_MIB:-2048}
GUEST_CPUS=${GUEST_CPUS:-2}
GUEST_SECONDS=${GUEST_SECONDS:-900}
# kvm is faster where it works; nested in another machine it may hang, so it is not tried unasked.
GUEST_ACCEL=${GUEST_ACCEL:-tcg,thread=multi}
# Modules that are not loaded by themselves when first used.
GUEST_MODULES='br_netfilter esp4 xfrm_user gcm seqiv echainiv ip_vs ip_vs_rr xt_ipvs overlay'
# To reach the root file system.
GUEST_BOOT_MODULES='virtio_pci 9pnet_virtio 9p overlay'

guest_skip() { printf 'SKIP: %s\n' "$*"; exit 77; }

guest_kernel() { echo "$GUEST_CACHE"/boot/vmlinuz-*; }

guest_package()
{
  { apt-cache depends linux-image-amd64 2>/dev/null || true; } |
    sed -n '0,/.*Depends: \(linux-image-[0-9].*-amd64\)$/s//\1/p'
}

# Unpacks the kernel package into the cache, unless it is there. Needs the network once.
guest_fetch()
{
  [[ -e $(guest_kernel) ]] && return
  local package folder
  package=$(guest_package)
  # A machine that has all packages may have no lists of them.
  [[ -n $package || $(id -u) != 0 ]] || { apt-get -qq update; package=$(guest_package); }
  [[ -n $package ]] || { echo "guest: linux-image-amd64 is not in the package lists" >&2; return 1; }
  mkdir -p "$GUEST_CACHE"
  folder=$(mktemp -d "$GUEST_CACHE/../fetch.XXXXXX")
  (
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    apt-get -qq -o APT::Sandbox::User=root download "$package"
    dpkg -x "$package"_*.deb root
    depmod -b root "$(ls root/lib/modules)"
    # Debian's image ships no maps or debug files that we need; keep the kernel and its modules.
    rm -rf "$GUEST_CACHE"
    mkdir "$GUEST_CACHE"
    mv root/boot root/lib "$GUEST_CACHE"
  )
}

# in_guest SCRIPT [ARGUMENT...]
in_guest()
{
  [[ -z ${SKEP_GUEST:-} ]] || return 0
  [[ $(id -u) == 0 ]] || guest_skip "needs root (the guest reads this machine's files)"
  local program status=0 work
  for program in qemu-system-x86_64 cpio depmod /bin/busybox; do
    command -v $program >/dev/null || guest_skip "needs $program (./dev setup installs it)"
  done
  [[ -e $(guest_kernel) ]] || guest_skip "needs Debian's kernel (./dev setup fetches it)"
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder is known now
  trap "rm -rf '$work'" EXIT
  guest_initrd "$work" "$@"
  # A busy machine may be late with the ticks that the kernel counts at its start; it panics then,
  # unless it is told to trust its timer.
  timeout -k 5 "$GUEST_SECONDS" qemu-system-x86_64 -nodefaults -display none -no-reboot \
    -accel "$GUEST_ACCEL" -smp "$GUEST_CPUS" -m "$GUEST_MEM_MIB" \
    -kernel "$(guest_kernel)" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check" \
    -serial "file:$work/console" -serial stdio -device isa-debug-exit,iobase=0x501,iosize=1 \
    -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=root,mount_tag=root </dev/null 2>"$work/errors" || status=$?
  # Any other status is QEMU's own or timeout's: the guest never said how its command ended.
  if ((status % 2 == 0 || status < 65 || status > 65 + 2 * 77 || status == 137)); then
    echo "guest: no answer (status $status after at most $GUEST_SECONDS s)" >&2
    tail -n 40 "$work/console" "$work/errors" >&2 || true
    exit 125
  fi
  exit $(((status - 65) / 2))
}

# guest_cipher: in the guest: the cipher of encrypted networks, used once. The kernel tests what it is made
# of at its first use, and on a very slow machine two first users at once may wait for ever.
guest_cipher()
{
  ip netns add cipher
  ip -n cipher xfrm state add src 10.1.0.1 dst 10.1.0.2 proto esp spi 1 mode transport \
    aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 64
  ip netns del cipher
}

# guest_initrd FOLDER COMMAND...: the first file system: busybox, four modules, and two scripts.
guest_initrd()
{
  local work=$1 root=$1/initrd.d number=100 module; shift
  mkdir -p "$root"/{bin,modules,proc,dev,lower,upper,root}
  cp /bin/busybox "$root/bin/"
  while read -r module; do
    cp "$module" "$root/modules/$((number++))-${module##*/}"
  done < <(guest_module_files)
  guest_init >"$root/init"
  { guest_boot; printf 'cd %q\nSKEP_GUEST=1 LAB_PATIENCE=8 CK_TIMEOUT_MULTIPLIER=8 SKEP_BUILD=%q bash ' "$PWD" "${SKEP_BUILD:-}"
    printf '%q ' "$@"; } >"$root/boot"
  chmod +x "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"
}

# The files of the modules needed at boot, in loading order, each once.
guest_module_files()
{
  local module
  for module in $GUEST_BOOT_MODULES; do
    modprobe -d "$GUEST_CACHE" -S "$(ls "$GUEST_CACHE/lib/modules")" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Process 1 before the root file system is there.
guest_init()
{
  cat <<'INIT'
#!/bin/busybox sh
set -e
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=1048576,ro root /lower
/bin/busybox mount -t tmpfs -o size=75% tmpfs /upper
/bin/busybox mkdir /upper/files /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
/bin/busybox cp /boot /root/.guest-boot
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /bin/bash -c '
  stty -F /dev/ttyS1 raw
  /bin/bash /.guest-boot >/dev/ttyS1 2>&1 </dev/null
  status=$?
  ((status < 60 && status != 36 || status == 77)) || status=1
  # The serial port sends what it still holds before the machine goes.
  sync; stty -F /dev/ttyS1 raw
  printf "\\x$(printf %x $((status + 32)))" | dd of=/dev/port bs=1 seek=$((0x501)) status=none'
INIT
}

# The rest of the boot, on the full root file system; the test's command is appended.
guest_boot()
{
  local version; version=$(ls "$GUEST_CACHE/lib/modules")
  cat <<BOOT
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm /lib/modules/$version /run/lock
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind $GUEST_CACHE/lib/modules/$version /lib/modules/$version
modprobe -a -q $GUEST_MODULES
ip link set lo up
# New namespaces inherit this, and stock dockerd counts on it in its sandboxes.
echo 1 >/proc/sys/net/ipv4/ip_forward
BOOT
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  [[ ${1:-} == fetch ]] || { echo "usage: guest.sh fetch" >&2; exit 2; }
  guest_fetch
fi
