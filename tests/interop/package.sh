#!/bin/bash
# The Debian package holds the programs with their dependencies, and what it holds starts.
. "$(dirname "$0")/../support/lab.sh"
for program in dpkg-deb dpkg-shlibdeps strip; do
  command -v $program >/dev/null || skip "needs $program"
done
[[ -x ${SKEP_BUILD:-}/skepd ]] || fail "SKEP_BUILD names no build with skepd in it"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step "it is built"
"$(dirname "$0")/../../cmd/package/build_deb" "$SKEP_BUILD" "$work" >/dev/null
package=$(echo "$work"/skep_*.deb)

step "it depends on what it is linked with and what it starts"
depends=$(dpkg-deb --field "$package" Depends)
for wanted in libc6 libuv1 libseccomp2 libjansson4 conmon 'crun | runc' skopeo umoci adduser iproute2 nftables; do
  [[ $depends == *"$wanted"* ]] || fail "$wanted is missing in: $depends"
done

step "its files are root's, and nobody else may write them"
loose=$(dpkg-deb --contents "$package" | awk '$2 != "root/root" || substr($1, 6, 1) == "w" ||
  (substr($1, 9, 1) == "w" && substr($1, 1, 1) != "l")')
same '' "$loose" "files with other owners or modes"

step "it holds these files and no others"
groups=$("$SKEP_BUILD/skep" __groups | sed 's|.*|-rw-r--r-- ./usr/share/man/man1/skep-&.1.gz|')
wanted=$(sort <<FILES
$groups
-rw-r--r-- ./usr/share/man/man1/skep.1.gz
-rw-r--r-- ./usr/share/man/man8/skepd.8.gz
-rw-r--r-- ./usr/share/bash-completion/completions/skep
-rw-r--r-- ./usr/share/zsh/vendor-completions/_skep
-rw-r--r-- ./usr/share/fish/vendor_completions.d/skep.fish
-rw-r--r-- ./usr/share/doc/skep/copyright
-rw-r--r-- ./usr/share/doc/skep/README.md
-rw-r--r-- ./lib/systemd/system/skepd.service
-rw-r--r-- ./lib/systemd/system/skepd.socket
-rwxr-xr-x ./usr/bin/skep
-rwxr-xr-x ./usr/sbin/skepd
-rwxr-xr-x ./usr/lib/skep/clear_node
-rw-r--r-- ./usr/lib/skep/skep-conmon.so
FILES
)
diff <(echo "$wanted") <(dpkg-deb --contents "$package" | awk '$1 !~ /^d/ {print $1, $6}' | sort) || fail "other files"
dpkg-deb --control "$package" "$work/control"
for script in postinst prerm postrm; do sh -n "$work/control/$script" || fail "$script"; done

step "what it holds starts"
dpkg-deb --extract "$package" "$work/root"
[[ $("$work/root/usr/sbin/skepd" --version) == "skepd version "* ]] || fail "no version"
same 'configuration OK' "$("$work/root/usr/sbin/skepd" --validate --host fd:// \
  --config-file /dev/null)" "skepd --validate"
[[ $("$work/root/usr/bin/skep" --version) == "skep version "* ]] || fail "no version of skep"

step "what it holds is hardened"
for program in "$work/root/usr/sbin/skepd" "$work/root/usr/bin/skep"; do
  said=$(readelf --wide --file-header --program-headers --dynamic --dyn-syms "$program")
  # Any address, everything bound before main and read-only then, no code on the stack, and guards
  # that gcc (stack) and glibc (_FORTIFY_SOURCE) put in.
  for wanted in 'FLAGS_1.* NOW .*PIE' 'GNU_RELRO' 'GNU_STACK .* RW ' '__stack_chk_fail' '_chk@'; do
    grep -q -- "$wanted" <<<"$said" || fail "$program lacks $wanted"
  done
done

step "the command comes with man pages and completion"
for page in skep skep-service skep-stack; do
  zcat "$work/root/usr/share/man/man1/$page.1.gz" | has '^\.SH COMMANDS' || fail "no page $page"
done
zcat "$work/root/usr/share/man/man8/skepd.8.gz" | has '^\.B .*data.*root' || fail "no page of skepd"
bash -n "$work/root/usr/share/bash-completion/completions/skep"
[[ -s $work/root/usr/share/zsh/vendor-completions/_skep ]] || fail "no completion for zsh"
[[ -s $work/root/usr/share/fish/vendor_completions.d/skep.fish ]] || fail "no completion for fish"

step "the units are sound"
if command -v systemd-analyze >/dev/null; then
  sed -i "s|/usr/sbin/skepd|$work/root/usr/sbin/skepd|" "$work"/root/lib/systemd/system/skepd.service
  said=$(systemd-analyze verify "$work"/root/lib/systemd/system/skepd.service 2>&1 |
    grep "skepd\.\(service\|socket\):" | grep -v 'Failed to' || true)
  same '' "$said" "what systemd says of the unit"
fi
