#!/usr/bin/env bash
# Measures ratchetd on this machine, beside what one would use instead, in one run. Prints; asserts nothing.
# usage: tests/bench/run.sh [w1|latency|footprint|detect|all] [options of that benchmark, see its --help]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh
what=${1:-all}
[ $# -eq 0 ] || shift
need_packages build run test
tests/support/get_kafka.sh
cmake --preset release >/dev/null
cmake --build --preset release >/dev/null
export RATCHET_BUILD=$PWD/build/release
case $what in
  w1 | latency | footprint | detect) /usr/bin/python3 "tests/bench/$what.py" "$@" ;;
  all) for what in footprint latency w1; do echo "== $what"; /usr/bin/python3 "tests/bench/$what.py"; done ;;
  *) sed -n '2,3p' "$0" >&2; exit 64 ;;
esac
