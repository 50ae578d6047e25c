#!/usr/bin/env bash
# debian13.sh ROOT SOURCE JUNIT: makes a Debian 13 root (once), builds the project in it with warnings as errors and runs
# the unit tests there. Mounts live in a namespace of their own and end with this script.
set -euo pipefail
root=$1 source=$2 junit=$3
# shellcheck source=packaging/dependencies.sh
. "$source/packaging/dependencies.sh"

if [ ! -e "$root/.ready" ]; then
  rm -rf "$root"
  mkdir -p "$root"
  mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
  debootstrap --variant=minbase trixie "$root" "$mirror" >"$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
  # Only the settings the network needs: all of them would make conffile prompts.
  grep -lE '^[[:space:]]*Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r -I{} cp {} "$root/etc/apt/apt.conf.d/"
  [ ! -d /etc/apt/auth.conf.d ] || cp -r /etc/apt/auth.conf.d "$root/etc/apt/"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
fi

export root source junit packages_build
unshare -m bash -euo pipefail -c '
  mkdir -p "$root/src" "$root/proc"
  mount --bind "$source" "$root/src"
  mount -o remount,ro,bind "$root/src"
  mount -t proc proc "$root/proc"
  if [ ! -e "$root/.ready" ]; then
    chroot "$root" apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold \
      $packages_build catch2 librapidcheck-dev ccache >"$root.apt.log" 2>&1 || { tail -n 20 "$root.apt.log"; exit 1; }
    touch "$root/.ready"
  fi
  chroot "$root" env CCACHE_DIR=/var/cache/ccache HOME=/root cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRATCHET_WERROR=ON >/dev/null
  chroot "$root" env CCACHE_DIR=/var/cache/ccache HOME=/root cmake --build /build -- -j "$(nproc)" | grep -vE "^\[[0-9]+/[0-9]+\]" || [ "${PIPESTATUS[0]}" = 0 ]
  chroot "$root" env HOME=/root ctest --test-dir /build -LE "postgres|kafka" -j "$(nproc)" --no-tests=error --output-on-failure --output-junit /build/junit.xml |
    grep -vE " Passed +[0-9.]+ sec$|^ +Start " || true
  cp "$root/build/junit.xml" "$junit"
'
