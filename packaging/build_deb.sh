#!/usr/bin/env bash
# build_deb.sh OUT: builds the Debian package from the committed tree, in a copy, and puts it into the folder OUT.
set -euo pipefail
[ $# = 1 ] || { echo "usage: packaging/build_deb.sh OUT" >&2; exit 64; }
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "$0")/.."
missing=()
for tool in dpkg-buildpackage dh; do command -v "$tool" >/dev/null || missing+=("$tool"); done
[ ${#missing[@]} = 0 ] || { echo "missing: ${missing[*]}; apt-get install -y build-essential debhelper" >&2; exit 69; }
work=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/ratchetd"
git -c safe.directory='*' archive HEAD | tar -x -C "$work/ratchetd"
cd "$work/ratchetd"
mv packaging/debian debian
dpkg-buildpackage -b -us -uc -j"$(nproc)" >"$work/log" 2>&1 || { tail -n 40 "$work/log"; exit 1; }
mv "$work"/*.deb "$work"/*.buildinfo "$work"/*.changes "$out/"
ls "$out"/*.deb
