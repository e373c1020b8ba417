# shellcheck shell=bash
# What the benchmarks of networks have in common: figures by name, their medians, and rows of a table. $figures is
# a folder of the benchmark's.
# shellcheck disable=SC2154 # figures

field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }
keep() { echo "$2" >>"$figures/$1"; }
median() { sort -g "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

declare -A unit=([stream]=Gbit/s [packets]=1000/s [connects]=1/s [p50]=us [p99]=us [cost]=us [ms]=ms [kb]=KiB)
# row CASE FIGURE OURS THEIRS PEER-NAME AIM: the ratio is ours to theirs for rates and theirs to ours
# for times: above 1 is better than the peer. Rows without a peer compare with the aim alone.
row()
{
  local ours theirs=null ratio=null
  [[ -e $figures/$3.$2 ]] || return 0
  ours=$(median "$figures/$3.$2")
  if [[ -e $figures/$4.$2 ]]; then
    theirs=$(median "$figures/$4.$2")
    case $2 in
    p50 | p99 | cost | ms | kb) ratio=$(awk "BEGIN { printf \"%.2f\", $theirs / $ours }") ;;
    *) ratio=$(awk "BEGIN { printf \"%.2f\", $ours / $theirs }") ;;
    esac
  fi
  printf '%-34s %-9s %10s %10s %6s %6s  %s\n' "$1, $2" "${unit[$2]}" "$ours" "$theirs" "$ratio" \
    "${6:-}" "$5" >>"$figures/table"
  printf '{"bench":"net","case":"%s %s","unit":"%s","skep":%s,"peer":%s,"peer_name":"%s","ratio":%s,"aim":%s}\n' \
    "$1" "$2" "${unit[$2]}" "$ours" "$theirs" "$5" "$ratio" "${6:-null}" >>"$figures/json"
}

show_figures()
{
  [[ -e $figures/table ]] || return 0
  printf '\n%-34s %-9s %10s %10s %6s %6s  %s\n' case unit skep peer ratio aim peer
  cat "$figures/table"
  echo
  cat "$figures/json"
}
