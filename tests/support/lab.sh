# shellcheck shell=bash
# Test hosts on one machine: a bash library for tests that need real daemons on real (virtual) networks.
#
#   . "$(dirname "$0")/../support/lab.sh"
#   lab_needs dockerd docker            # root, and these programs; else the test is skipped
#   lab_up 2                            # hosts h1 and h2 (10.77.0.11, 10.77.0.12) on a switch; no way out
#   stock_start h1; stock_start h2      # a stock dockerd on each
#   stock h1 swarm init --advertise-addr "$(ip_of h1)"
#   eventually 20 some_condition        # polls; never sleep for a fixed time
#
# A host is a set of namespaces (network, mount, process, hostname, cgroup) kept by one process. It sees
# its own /proc, /sys, /run and /sys/fs/cgroup, and shares the rest of the file system. Everything a
# host runs dies with it, and it dies with the test, however that ends. What the test made is removed
# at its end; what a killed test left behind (folders, namespaces, cgroups) is removed by the next one.
#
# $LAB is the test's folder, $LAB/h1 that of host h1, at the same path inside and outside of the hosts,
# so that a unix socket in it can be used from both. Logs of daemons are $LAB/h1/NAME.log; they are
# printed when the test fails. LAB_KEEP=1 keeps the folder for a look.
set -euo pipefail

LAB_SUBNET=10.77.0        # every lab has its own switch, so all may use the same addresses
LAB_IMAGE=busybox:lab     # what stock_image imports
LAB_SKIPPED=77            # the exit status that ctest knows as "skipped"
LAB_DOCKER=/usr/bin/docker # Debian's; a test may choose another version
LAB_STOP_SECONDS=60       # how long a daemon may take to end when asked to
LAB_PATIENCE=${LAB_PATIENCE:-1} # all deadlines times this: emulated machines are slow
LAB=
LAB_ID=
LAB_HOSTS=()

# ---- results ----------------------------------------------------------------------------------

step() { printf -- '--- %s\n' "$*"; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }
skip() { printf 'SKIP: %s\n' "$*"; exit "$LAB_SKIPPED"; }

# same WANTED GOT WHAT: the two texts are equal.
same() { [[ $1 == "$2" ]] || fail "$3: wanted '$1', got '$2'"; }

# refused PATTERN COMMAND...: the command fails and says something that matches the pattern.
refused()
{
  local pattern=$1 said status=0; shift
  said=$("$@" 2>&1) || status=$?
  [[ $status != 0 ]] || fail "should have been refused: $* (said: $said)"
  [[ $said =~ $pattern ]] || fail "refused for another reason than '$pattern': $* (said: $said)"
}

# eventually SECONDS COMMAND...: polls the command until it succeeds; fails the test at the deadline
# with what the command said last.
eventually()
{
  local seconds=$1 said; shift
  local deadline=$((SECONDS + seconds * LAB_PATIENCE))
  until said=$("$@" 2>&1); do
    ((SECONDS < deadline)) || fail "not within $seconds s: $*${said:+ (said last: $said)}"
    sleep 0.1
  done
}

# within SECONDS COMMAND...: as eventually, but only returns 1 at the deadline.
within() { (eventually "$@") 2>/dev/null; }

# in_sequence COMMAND...: a command that changes an object of the swarm. The managers write to objects
# too, and between a command's look and its change they may: who comes second is refused, and asks again.
in_sequence()
{
  local said status deadline=$((SECONDS + 60 * LAB_PATIENCE))
  while :; do
    status=0
    { said=$("$@" 2>&1 >&3) || status=$?; } 3>&1
    [[ $status != 0 && $said == *'update out of sequence'* ]] && ((SECONDS < deadline)) || break
  done
  [[ -z $said ]] || printf '%s\n' "$said" >&2
  return "$status"
}

# has PATTERN [grep option...]: what comes in has the pattern. It reads to the end, as grep -q does not:
# a program that still writes when its reader goes dies of that, which pipefail takes for a failure.
has() { local said; said=$(cat); grep -q "${@:2}" -e "$1" <<<"$said"; }

# ---- the lab ----------------------------------------------------------------------------------

# lab_needs [PROGRAM...]: skips the test on a machine that cannot run it.
lab_needs()
{
  [[ $(id -u) == 0 ]] || skip "needs root (namespaces, cgroups)"
  local program
  for program in ip nsenter unshare setpriv "$@"; do
    command -v "$program" >/dev/null || skip "needs the program $program (./dev setup installs it)"
  done
  unshare --net --mount --pid --fork true 2>/dev/null || skip "needs the right to make namespaces"
}

# lab_up [N]: the lab's folder and switch, and N hosts. Call it in the test's main shell, once.
lab_up()
{
  lab_sweep
  LAB_ID=skep$$
  LAB=${TMPDIR:-/tmp}/skep-lab.$$
  mkdir -m 700 "$LAB"
  trap lab_down EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  ip netns add "${LAB_ID}sw"
  ip -n "${LAB_ID}sw" link add switch type bridge
  ip -n "${LAB_ID}sw" link set switch up
  local i count=${1:-0}
  LAB_NEIGHBOURS=$(sysctl -n "$LAB_NEIGHBOURS_KEY")
  ((LAB_NEIGHBOURS >= 2 * count * count)) || sysctl -qw "$LAB_NEIGHBOURS_KEY=$((2 * count * count))"
  for ((i = 1; i <= count; i++)); do host_up "h$i"; done
}
# One kernel keeps the neighbours of all hosts here in one table, and its limit is made for one host: fifty that
# know each other fill it, and then have no route to one another.
LAB_NEIGHBOURS_KEY=net.ipv4.neigh.default.gc_thresh3

lab_down()
{
  local status=$? host job
  trap - EXIT HUP INT TERM
  set +e
  # (Who pressed Ctrl-C did not ask for the logs.)
  if [[ $status != 0 && $status != "$LAB_SKIPPED" && $status != 130 ]]; then
    if [[ -n ${LAB_NETS:-} ]]; then lab_nets >&2 2>&1; fi
    lab_logs >&2
  fi
  for host in "${LAB_HOSTS[@]}"; do host_kill "$host"; done
  # The test's own background jobs; one left would keep its output open for ever.
  for job in $(jobs -p); do kill -KILL "$job"; wait "$job"; done 2>/dev/null
  # Those that note how daemons ended write into the folder.
  for job in "$LAB"/*/*.starter; do [[ ! -e $job ]] || within 5 gone "$(<"$job")"; done
  lab_remove "$LAB_ID" "$LAB"
  [[ $(sysctl -n "$LAB_NEIGHBOURS_KEY") == "$LAB_NEIGHBOURS" ]] || sysctl -qw "$LAB_NEIGHBOURS_KEY=$LAB_NEIGHBOURS"
  exit "$status"
}

lab_logs()
{
  local log
  for log in "$LAB"/*/*.log; do
    [[ -s $log ]] || continue
    printf '==== the end of %s\n' "$log"
    tail -n "${LAB_LOG_LINES:-40}" "$log"
  done
}

# What the networks of each host's skepd are made of, for the tests that set LAB_NETS.
lab_nets()
{
  local host place
  for host in "${LAB_HOSTS[@]}"; do
    for place in "" "$LAB/$host"/exec/netns/*; do
      [[ -d $LAB/$host/exec/netns ]] || continue
      printf '==== %s %s\n' "$host" "${place##*/}"
      on "$host" nsenter ${place:+"--net=$place"} sh -c '
        ip -br addr; ip -br link; ip neigh; ip rule; ip route show table all; bridge fdb
        sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter; nft list ruleset
        grep -E "tcp .*dport=[0-9]{2,4} " /proc/net/nf_conntrack' 2>&1 |
        sed -E 's/ comment "skep-[0-9a-f]*"//; /^(broadcast|multicast|local|fe80|ff00)|^ *[}]?$|(33:33|01:00):/d' |
        head -n 150
    done
  done
}

# lab_remove ID FOLDER: all that a lab leaves once its processes are dead.
lab_remove()
{
  local id=$1 folder=$2 name mount group
  # (ip netns list ends at a name that somebody is just about to make or remove.)
  for name in /run/netns/"$id"{sw,h*}; do
    [[ ! -e $name ]] || ip netns del "${name##*/}" || true
  done
  while read -r group; do
    within 5 rmdir "$group" || echo "lab: cannot remove $group" >&2
  done < <(find /sys/fs/cgroup -depth -type d -path "*/$id-h*" 2>/dev/null)
  if [[ -n ${LAB_KEEP:-} ]]; then echo "lab: kept $folder" >&2; return; fi
  for mount in $(awk -v p="$folder/" 'index($5, p) == 1 {print $5}' /proc/self/mountinfo | tac); do
    umount -l "$mount"
  done
  rm -rf "$folder"
}

# Labs of tests that were killed: their hosts are dead already, so only names remain. Of tests that start
# together one sweeps and the others wait; what cannot be removed is left.
lab_sweep()
{
  (
    set +e
    exec 9<"${TMPDIR:-/tmp}" # the folder itself: a lock file would stay
    flock -w 60 9
    for folder in "${TMPDIR:-/tmp}"/skep-lab.*; do
      pid=${folder##*.}
      [[ ! -d $folder || -d /proc/$pid ]] || LAB_KEEP='' lab_remove "skep$pid" "$folder"
    done
    # What has this test's own name is another's that had the same number.
    LAB_KEEP='' lab_remove "skep$$" "${TMPDIR:-/tmp}/skep-lab.$$"
  ) </dev/null
}

# ---- hosts ------------------------------------------------------------------------------------

# host_up NAME: one more host. Names are h and a number.
host_up()
{
  local host=$1 number=${1#h} ns=$LAB_ID$1
  mkdir -p "$LAB/$host"
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip link add eth0 netns "$ns" type veth peer name "port$number" netns "${LAB_ID}sw"
  ip -n "$ns" addr add "$(ip_of "$host")/24" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "${LAB_ID}sw" link set "port$number" master switch up
  LAB_HOSTS+=("$host") # from here on the lab's end, which may be now, has something to end
  host_boot "$host"
}

# Starts the process that keeps the host's namespaces: a bash that reaps what it inherits.
host_boot()
{
  local host=$1 dir=$LAB/$1
  rm -f "$dir/booted"
  (
    for group in $(host_cgroups_outside "$host"); do echo 0 >"$group/cgroup.procs"; done
    exec setpriv --pdeathsig KILL nsenter --net="/run/netns/$LAB_ID$host" \
      unshare --mount --propagation private --uts --ipc --cgroup --pid --fork --kill-child \
      bash -c "$(declare -f host_init host_init_cgroups); host_init $host $dir"
  ) </dev/null >"$dir/host.log" 2>&1 &
  echo $! >"$dir/host.keeper"
  disown
  eventually 60 test -e "$dir/booted"
  child_of "$(<"$dir/host.keeper")" >"$dir/host.pid"
}

# child_of PID: its first child; fails when there is none.
child_of()
{
  local child
  child=$(cat "/proc/$1/task/$1/children" 2>/dev/null) || return 1
  [[ -n $child ]] && echo "${child%% *}"
}

# Prints the host's cgroup in every hierarchy, made if need be. A new cpuset starts empty and refuses
# tasks until it is told its processors.
host_cgroups_outside()
{
  local name=$LAB_ID-$1 root group file
  while read -r root; do
    group=$root/$name
    mkdir -p "$group"
    for file in cpuset.cpus cpuset.mems; do
      if [[ -e $root/$file && -e $group/$file && -z $(<"$group/$file") ]]; then
        cat "$root/$file" >"$group/$file"
      fi
    done
    echo "$group"
  done < <(awk '{ for (i = 7; $i != "-"; i++); if ($(i+1) ~ /^cgroup2?$/) print $5 }' /proc/self/mountinfo)
}

# Runs inside the new namespaces as process 1.
host_init()
{
  set -euo pipefail
  local host=$1 dir=$2
  hostname "$host"
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  host_init_cgroups
  mount -t tmpfs tmpfs /run
  mkdir -p /run/lock /run/netns
  # No name server answers here, and none is waited for.
  echo 'nameserver 127.0.0.1' >"$dir/resolv.conf"
  mount --bind "$dir/resolv.conf" "$(realpath /etc/resolv.conf)" 2>/dev/null || true
  touch "$dir/booted"
  while :; do sleep 3600 & wait $! || true; done
}

# The host's own view of the cgroup tree: all v1 hierarchies, or v2 alone. (A hybrid tree, with v2 at
# .../unified beside v1, is what crun refuses; so it is never shown.)
host_init_cgroups()
{
  local id controllers
  if [[ $(cut -d: -f1 /proc/self/cgroup) == 0 ]]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # Controllers can be handed down only by a group without processes of its own.
    mkdir /sys/fs/cgroup/init
    echo 0 >/sys/fs/cgroup/init/cgroup.procs
    for id in $(</sys/fs/cgroup/cgroup.controllers); do
      echo "+$id" >/sys/fs/cgroup/cgroup.subtree_control || true
    done
    return
  fi
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while IFS=: read -r id controllers _; do
    [[ $id != 0 && -n $controllers ]] || continue
    mkdir "/sys/fs/cgroup/${controllers#name=}"
    case $controllers in
    name=*) mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}" ;;
    *) mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ;;
    esac
  done </proc/self/cgroup
}

# host_kill HOST: as if its power was cut.
host_kill()
{
  local keeper
  keeper=$(cat "$LAB/$1/host.keeper" 2>/dev/null) || return 0
  # One that is still on its way up has no process 1 yet.
  kill -KILL "$(cat "$LAB/$1/host.pid" 2>/dev/null || echo "$keeper")" "$keeper" 2>/dev/null || true
  within 10 gone "$keeper" || echo "lab: $1 does not die" >&2
}

# host_reboot HOST: power cut, and on again. Its files stay, its /run and its processes are gone.
host_reboot() { host_kill "$1"; host_boot "$1"; }

ip_of() { echo "$LAB_SUBNET.$((10 + ${1#h}))"; }

# on HOST COMMAND...: runs a command on a host and waits for it.
on()
{
  local pid; pid=$(<"$LAB/$1/host.pid"); shift
  nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup -- "$@"
}

# cut HOST / heal HOST: pulls the host's network cable, and puts it back.
cut_link() { ip -n "${LAB_ID}sw" link set "port${1#h}" down; }
heal_link() { ip -n "${LAB_ID}sw" link set "port${1#h}" up; }

# slow_link HOST NETEM...: shapes what the host sends, such as: slow_link h1 delay 20ms loss 1%
slow_link() { local host=$1; shift; on "$host" tc qdisc replace dev eth0 root netem "$@"; }

# ---- daemons on hosts -------------------------------------------------------------------------

# start HOST NAME COMMAND...: runs a daemon on the host, inside the host's cgroup; its output goes to
# $LAB/HOST/NAME.log, its exit status, once it has ended, to NAME.exit. Returns at once.
start()
{
  local host=$1 name=$2; shift 2
  rm -f "$LAB/$host/$name.exit"
  (
    status=0
    on "$host" bash -c "$(declare -f host_enter_cgroup); host_enter_cgroup; exec \"\$@\"" \
      "$name" "$@" || status=$?
    echo $status >"$LAB/$host/$name.exit"
  ) </dev/null >>"$LAB/$host/$name.log" 2>&1 &
  echo $! >"$LAB/$host/$name.starter"
  disown
}

# Runs inside of the host: nsenter leaves the cgroup as it was outside.
host_enter_cgroup()
{
  local group
  if [[ -d /sys/fs/cgroup/init ]]; then echo 0 >/sys/fs/cgroup/init/cgroup.procs; return; fi
  for group in /sys/fs/cgroup/*; do echo 0 >"$group/cgroup.procs"; done
}

# pid_of HOST NAME: the daemon's process id as seen from outside. Between us and it stand the shell
# that notes its exit status, and nsenter; right after its start these may not be there yet.
pid_of()
{
  local starter tries
  starter=$(<"$LAB/$1/$2.starter")
  for ((tries = 0; tries < 200; tries++)); do
    ! child_of "$(child_of "$starter")" || return 0
    ! gone "$starter" || return 1
    sleep 0.05
  done
  return 1
}

# alive HOST NAME: the daemon has not ended.
alive() { [[ -d /proc/$(<"$LAB/$1/$2.starter") ]]; }

# signal HOST NAME SIGNAL
signal() { kill "-$3" "$(pid_of "$1" "$2")"; }

gone() { [[ ! -d /proc/$1 ]]; }

# no_monitors HOST: no conmon is left there. (One that has ended is there until the host's first process has
# taken note of it.)
no_monitors() { ! on "$1" pgrep -x conmon; }

# stop HOST NAME: asks the daemon to end and waits until it has.
stop()
{
  local starter; starter=$(<"$LAB/$1/$2.starter")
  kill -TERM "$(pid_of "$1" "$2")" 2>/dev/null || return 0
  eventually "$LAB_STOP_SECONDS" gone "$starter"
}

# kill9 HOST NAME: the daemon crashes; what it started lives on.
kill9()
{
  local starter; starter=$(<"$LAB/$1/$2.starter")
  kill -KILL "$(pid_of "$1" "$2")" 2>/dev/null || return 0
  eventually "$LAB_STOP_SECONDS" gone "$starter"
}

# ---- Skep -------------------------------------------------------------------------------------

# skep_start HOST [skepd option...]: starts the skepd of $SKEP_BUILD; returns when it is ready. A host
# may run skepd and dockerd side by side.
skep_start()
{
  local host=$1 dir=$LAB/$1 before=0; shift
  [[ -x ${SKEP_BUILD:-}/skepd ]] || fail "SKEP_BUILD names no build with skepd in it"
  [[ ! -e $dir/skepd.log ]] || before=$(stat -c %s "$dir/skepd.log")
  start "$host" skepd "$SKEP_BUILD/skepd" --host "unix://$dir/skep.sock" --data-root "$dir/skep" \
    --exec-root "$dir/exec" --pidfile "$dir/skepd.pid" --config-file /dev/null "$@"
  eventually 60 skep_settled "$host" "$before"
  alive "$host" skepd || fail "skepd on $host ended"
}

# skep_settled HOST BYTES: it has ended, or said that it is ready after so many bytes of its log.
skep_settled()
{
  ! alive "$1" skepd || tail -c "+$(($2 + 1))" "$LAB/$1/skepd.log" | has 'skepd is ready'
}

skep_stop() { stop "$1" skepd; }

# skep HOST docker-argument...: the docker command against the host's skepd.
skep()
{
  local host=$1; shift
  DOCKER_CONFIG=$LAB/docker-config "$LAB_DOCKER" --host "unix://$LAB/$host/skep.sock" "$@"
}

# ---- either -----------------------------------------------------------------------------------

# For scripts of docker commands that should do the same on both: SKEP_E2E_ENGINE=stock runs them on
# stock engines. The docker command is the newest of this machine, unless SKEP_E2E_DOCKER names another.
lab_commands()
{
  LAB_DOCKER=${SKEP_E2E_DOCKER:-$(command -v docker)}
  ours || lab_needs dockerd
  echo "($("$LAB_DOCKER" --version), engine ${SKEP_E2E_ENGINE:-skep})"
}

ours() { [[ ${SKEP_E2E_ENGINE:-skep} == skep ]]; }

# engine HOST [daemon option...]: one without any image. (Ours are put there before, stock's after it.)
engine() { if ours; then skep_start "$@"; else stock_start "$@"; fi; }

# engines HOST...: an engine on each, with $LAB_IMAGE.
engines()
{
  local host
  ! ours || skep_image "$@"
  for host in "$@"; do engine "$host"; done
  ours || stock_image "$@"
}

# d HOST docker-argument...: the docker command against the host's engine.
d() { if ours; then skep "$@"; else stock "$@"; fi; }

# ---- stock Docker -----------------------------------------------------------------------------

# stock_start HOST [dockerd option...]: returns when its API answers.
stock_start()
{
  local host=$1 tries; shift
  for tries in 1 2 3; do
    start "$host" dockerd dockerd --host "unix://$LAB/$host/docker.sock" \
      --data-root "$LAB/$host/docker" --exec-root /run/docker --pidfile /run/docker.pid \
      --userland-proxy=false "$@"
    eventually 60 stock_settled "$host"
    ! alive "$host" dockerd || return 0
    # It gives its containerd 15 s, which on a busy machine may not do.
    tail -n 5 "$LAB/$host/dockerd.log" | has 'timeout waiting for containerd' || break
  done
  fail "dockerd on $host ended (start $tries)"
}

stock_settled() { ! alive "$1" dockerd || stock "$1" version; }

stock_stop() { stop "$1" dockerd; }

# stock HOST docker-argument...: the docker command against the host's dockerd.
stock()
{
  local host=$1; shift
  DOCKER_CONFIG=$LAB/docker-config "$LAB_DOCKER" --host "unix://$LAB/$host/docker.sock" "$@"
}

# stock_image HOST...: gives each host's dockerd the image $LAB_IMAGE.
stock_image()
{
  local host
  lab_rootfs "$LAB/rootfs"
  for host in "$@"; do
    tar -C "$LAB/rootfs" -c . | stock "$host" import --change 'CMD ["sh"]' - "$LAB_IMAGE" >/dev/null
  done
}

# skep_image HOST...: gives each host's skepd the image $LAB_IMAGE. Before skep_start.
skep_image()
{
  local host
  lab_rootfs "$LAB/rootfs"
  tar -C "$LAB/rootfs" -cf "$LAB/rootfs.tar" .
  for host in "$@"; do
    install -d -m 700 "$LAB/$host/skep"
    "$SKEP_BUILD/tests/interop/interop_import_image" "$LAB/$host/skep/images" "$LAB/rootfs.tar" "$LAB_IMAGE"
  done
}

# lab_rootfs FOLDER: a small root file system of busybox and its commands.
lab_rootfs()
{
  local root=$1 busybox=/bin/busybox
  [[ ! -d $root ]] || return 0
  [[ -x $busybox ]] || skip "needs busybox-static (./dev setup installs it)"
  mkdir -p "$root"/{bin,dev,etc,proc,root,sys,tmp,usr/bin,var}
  chmod 1777 "$root/tmp"
  cp "$busybox" "$root/bin/busybox"
  # One process for hundreds of links: in an emulated guest they were a minute of ln.
  "$busybox" --list | perl -e 'my $bin = shift;
    while (<STDIN>) { chomp; $_ eq "busybox" or symlink "busybox", "$bin/$_" or die "$_: $!\n" }' "$root/bin"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
}
