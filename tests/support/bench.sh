# shellcheck shell=bash
# What benchmarks with our engines and stock ones beside each other share: both kinds by one name, their
# processor time and memory, figures by round, and the table with its aims.
#
#   side_of() { case $1 in h1) echo skep ;; *) echo stock ;; esac; }   # which host is what
#   aim_of() { case $1 in list.rate) echo '>= 10 x' ;; *) echo - ;; esac; }
#   . "$(dirname "$0")/../support/bench.sh"
#   load list h1 100 20s GET /v1.41/services; load list h2 ...; table api

sock_of() { if [[ $(side_of "$1") == skep ]]; then echo "$LAB/$1/skep.sock"; else echo "$LAB/$1/docker.sock"; fi; }
daemon_start() { "$(side_of "$1")_start" "$1"; }
daemon_stop() { "$(side_of "$1")_stop" "$1"; }
engine() { local host=$1; shift; "$(side_of "$host")" "$host" "$@"; }
api() { curl -fsS --max-time 60 --unix-socket "$(sock_of "$1")" "http://d/v1.41/$2" "${@:3}"; }

# A daemon's processes.
family_of()
{
  if [[ $(side_of "$1") == skep ]]; then pstree_of "$(pid_of "$1" skepd)"; else pstree_of "$(pid_of "$1" dockerd)"; fi
}
pstree_of()
{
  local child
  echo "$1"
  while read -r child; do pstree_of "$child"; done < <(cat "/proc/$1"/task/*/children 2>/dev/null | tr ' ' '\n' | grep .)
}

# Processor microseconds as the scheduler counts them, and memory in kilobytes.
cpu_of()
{
  local pid
  for pid in $(family_of "$1"); do cat "/proc/$pid"/task/*/schedstat 2>/dev/null || true; done |
    awk '{ sum += $1 } END { printf "%d", sum / 1000 }'
}
memory_of()
{
  local pid
  for pid in $(family_of "$1"); do cat "/proc/$pid/smaps_rollup" 2>/dev/null || true; done |
    awk '/^Pss:/ { sum += $2 } END { print sum }'
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# ---- figures -----------------------------------------------------------------------------------

# keep WHAT SIDE VALUE: one round's figure; median WHAT SIDE: "-" where there is none.
keep() { echo "$3" >>"$LAB/figure.$1.$2"; }
median()
{
  [[ -e $LAB/figure.$1.$2 ]] || { echo -; return; }
  sort -g "$LAB/figure.$1.$2" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# measure WHAT SIDE GENERATOR...: runs the generator and keeps its figures; $measured requests. Only the other
# side may refuse some, where MAY_REFUSE is set: how many is a figure, too.
measure()
{
  local what=$1 side=$2 said failed rate p50 p99; shift 2
  said=$("$@")
  read -r _ measured _ failed _ rate _ p50 _ p99 _ _ <<<"$said"
  [[ $failed == 0 || ($side != skep && -n ${MAY_REFUSE:-}) ]] || fail "$what on $side: $said"
  [[ -z ${MAY_REFUSE:-} ]] || keep "$what.refused" "$side" "$failed"
  keep "$what.rate" "$side" "$rate"
  keep "$what.p50_us" "$side" "$p50"
  keep "$what.p99_us" "$side" "$p99"
}

# load WHAT HOST [--anew] CLIENTS COUNT METHOD TARGET [BODY]: with processor time per request.
load()
{
  local what=$1 host=$2 before anew=(); shift 2
  if [[ $1 == --anew ]]; then anew=(--anew); shift; fi
  before=$(cpu_of "$host")
  measure "$what" "$(side_of "$host")" "$GENERATOR" "${anew[@]}" "$(sock_of "$host")" "$@"
  keep "$what.cpu_us" "$(side_of "$host")" $((($(cpu_of "$host") - before) / measured))
}

# ---- the table ----------------------------------------------------------------------------------

# meets WHAT OURS STOCK ETCD: whether a row has its aim: a bound ("<= 6000") or a ratio to stock (">= 10 x").
meets()
{
  local what=$1 ours=$2 theirs=$3 etcd=$4
  awk -v aim="$(aim_of "$what")" -v a="$ours" -v b="$theirs" -v e="$etcd" 'BEGIN {
    n = split(aim, part, /[ ,]+/)
    if (aim == "-" || a == "-") { print ""; exit }
    bound = part[3] == "x" ? part[2] * b : part[2]
    good = (part[3] != "x" || b != "-") && (part[1] == "<=" ? a <= bound : a >= bound)
    if (part[4] == "etcd" && e != "-") good = good && a >= e
    print good ? "met" : "missed" }'
}

# table NAME: each figure that our side has, and all of it as one JSON line.
table()
{
  local json='' file what ours theirs etcd
  printf '%-30s %12s %12s %10s %8s  %-14s %s\n' "" skep stock etcd ratio aim ""
  for file in "$LAB"/figure.*.skep; do
    what=${file##*/figure.}; what=${what%.skep}
    ours=$(median "$what" skep) theirs=$(median "$what" stock) etcd=$(median "$what" etcd)
    printf '%-30s %12s %12s %10s %8s  %-14s %s\n' "$what" "$ours" "$theirs" "$etcd" \
      "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf (b > 0 ? "%.2f" : "-"), (b > 0 ? a / b : 0) }')" \
      "$(aim_of "$what")" "$(meets "$what" "$ours" "$theirs" "$etcd")"
    json+=$(printf ',"%s":[%s,%s]' "$what" "$ours" "${theirs/#-/null}")
  done
  echo "{\"bench\":\"$1\",\"load\":\"$(cut -d' ' -f1-3 /proc/loadavg)\"$json}"
}
