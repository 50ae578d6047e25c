#!/usr/bin/env bash
# package.sh RELEASE CACHE SOURCE JUNIT: builds the Debian package for `bookworm` or `trixie`, installs it in a fresh root of
# that release as a user would, looks at what is there, purges it, and finds nothing left. Needs root; mounts live in a
# namespace of their own and end with this script.
set -euo pipefail
release=$1 cache=$2 source=$3 junit=$4
# shellcheck source=packaging/dependencies.sh
. "$source/packaging/dependencies.sh"
base=$cache/base-$release builder=$cache/build-$release
mkdir -p "$cache"
mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)

if [ ! -e "$base/.ready" ]; then
  rm -rf "$base"
  debootstrap --variant=minbase "$release" "$base" "$mirror" >"$base.log" 2>&1 || { tail -n 20 "$base.log"; exit 1; }
  # Only the settings the network needs: all of them would make conffile prompts.
  grep -lE '^[[:space:]]*Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r -I{} cp {} "$base/etc/apt/apt.conf.d/"
  [ ! -d /etc/apt/auth.conf.d ] || cp -r /etc/apt/auth.conf.d "$base/etc/apt/"
  cp /etc/resolv.conf "$base/etc/resolv.conf"
  touch "$base/.ready"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-package.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git -C "$source" -c safe.directory='*' archive HEAD | tar -x -C "$work/source"
mv "$work/source/packaging/debian" "$work/source/debian"
[ -e "$builder/.ready" ] || { rm -rf "$builder"; cp -a "$base" "$builder"; rm -f "$builder/.ready"; }
cp -a "$base" "$work/fresh"

in_root() {  # in_root ROOT COMMAND...: with /proc, and the work folder at /work
  root=$1 work=$work unshare -m bash -euo pipefail -c '
    mkdir -p "$root/proc" "$root/work"
    mount -t proc proc "$root/proc"
    mount --bind "$work" "$root/work"
    chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' in_root "${@:2}"
}
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 30 "$work/log"; return 1; }; }
step() { printf '%s: %s\n' "$release" "$*"; }

step build
if [ ! -e "$builder/.ready" ]; then
  quietly in_root "$builder" apt-get update -q
  # shellcheck disable=SC2086  # a list of words
  quietly in_root "$builder" apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold $packages_build build-essential debhelper lintian ccache
  touch "$builder/.ready"
fi
quietly in_root "$builder" env CCACHE_DIR=/var/cache/ccache CCACHE_NOHASHDIR=1 bash -c 'cd /work/source && dpkg-buildpackage -b -us -uc -j$(nproc)'
mkdir -p "$cache/made-$release"
rm -f "$cache/made-$release"/*.deb
cp "$work"/ratchetd_*.deb "$cache/made-$release/"  # for the upgrade in a real systemd
step lintian
in_root "$builder" bash -c 'lintian --allow-root --fail-on error,warning /work/*.changes'

step install
quietly in_root "$work/fresh" apt-get update -q
find_files() { (cd "$work/fresh" && find etc usr/lib usr/sbin usr/bin usr/share lib var/lib -xdev \( -path var/lib/apt -o -path var/lib/dpkg -o -path usr/share/doc \) -prune -o -print | sort); }
# What it stands on stays: only what the package itself brought must go.
quietly in_root "$work/fresh" bash -c 'cd /work && apt-get install -q -y --no-install-recommends $(dpkg-deb -f ratchetd_*.deb Depends | sed "s/([^)]*)//g; s/|[^,]*//g; s/,/ /g")'
find_files >"$work/before"
getent_before=$(cut -d: -f1 "$work/fresh/etc/passwd" | sort)
quietly in_root "$work/fresh" bash -c 'apt-get install -q -y --no-install-recommends /work/ratchetd_*.deb'
version=$(in_root "$work/fresh" ratchetd --version)
in_root "$work/fresh" ratchetctl --help >/dev/null
in_root "$work/fresh" ratchetd check --config /usr/share/doc/ratchetd/examples/smallest.json >/dev/null
in_root "$work/fresh" getent passwd ratchetd >/dev/null
for file in usr/share/ratchetd/ratchetd.schema.json usr/share/bash-completion/completions/ratchetctl usr/share/zsh/vendor-completions/_ratchetctl; do
  [ -s "$work/fresh/$file" ] || { echo "missing: $file"; exit 1; }
done
step "installed $version"

step purge
mkdir -p "$work/fresh/etc/ratchetd" "$work/fresh/var/lib/ratchetd"
touch "$work/fresh/etc/ratchetd/ratchetd.json" "$work/fresh/var/lib/ratchetd/state"
quietly in_root "$work/fresh" apt-get purge -q -y ratchetd
find_files >"$work/after"
# Caches that any package's coming and going rewrites, and the files that user tools keep as the last state.
left=$(comm -13 "$work/before" "$work/after" | grep -vE '^etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|^var/lib/systemd/deb-systemd-helper' || true)
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
[ "$getent_before" = "$(cut -d: -f1 "$work/fresh/etc/passwd" | sort)" ] || { echo "left behind: a user"; exit 1; }
printf '<testsuite><testcase name="package %s"/></testsuite>\n' "$release" >"$junit"
step "purged, nothing left"

step "a root that boots"
boots=$cache/boots-$release
if [ ! -e "$boots/.ready" ]; then
  rm -rf "$boots"
  cp -a "$base" "$boots"
  rm -f "$boots/.ready"
  quietly in_root "$boots" apt-get update -q
  quietly in_root "$boots" apt-get install -q -y --no-install-recommends systemd-sysv dbus curl procps
  touch "$boots/.ready"
fi
