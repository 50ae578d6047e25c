#!/usr/bin/env bash
# shellcheck disable=SC2034  # the sets are read by name
# The Debian packages this project stands on, and how they are installed. Sourced by quickstart.sh and tests/run.sh.
#   need_packages build run test ...   installs what is missing of these sets; without root: prints the line, exits 69

packages_build="g++ cmake ninja-build pkg-config libpqxx-dev libcpp-httplib-dev librdkafka-dev nlohmann-json3-dev
  prometheus-cpp-dev libcli11-dev libsystemd-dev libssl-dev libcurl4-openssl-dev"
packages_run="postgresql curl kcat python3-minimal"
packages_bench="libboost-dev"
packages_test="catch2 librapidcheck-dev ccache clang clang-tidy clang-format libclang-rt-14-dev nginx python3-pytest python3-pytest-xdist python3-psycopg2
  python3-confluent-kafka python3-jsonschema wrk pgbouncer shellcheck debootstrap systemd-container procps git
  iproute2 iptables util-linux e2fsprogs faketime openssl haproxy
  python3-yaml groff-base debhelper build-essential fakeroot lintian
  openjdk-17-jre-headless maven"

missing_packages() {
  local set name
  for set in "$@"; do
    set="packages_$set"
    for name in ${!set}; do
      # What a plain program of that name provides may come from elsewhere (a JDK of the machine's own).
      case $name in
        openjdk-17-jre-headless) command -v java >/dev/null && continue ;;
        maven) command -v mvn >/dev/null && continue ;;
      esac
      dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || printf '%s ' "$name"
    done
  done
}

need_packages() {
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    printf 'Missing packages. As root:\n  apt-get update && apt-get install -y --no-install-recommends %s\n' "$missing" >&2
    exit 69
  fi
  echo "installing: $missing" >&2
  keep_services_from_starting
  apt-get update -q >&2
  # shellcheck disable=SC2086  # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
  let_services_start
}

# A throwaway server is started by hand; Debian's own main cluster is not ours to create or run.
keep_services_from_starting() {
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    ratchet_policy=1
  fi
}
let_services_start() { [ -z "${ratchet_policy:-}" ] || rm -f /usr/sbin/policy-rc.d; }
