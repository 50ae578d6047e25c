#!/usr/bin/env bash
# The reactor beside nginx, cpp-httplib and Boost.Beast, in one run. Prints; asserts nothing.
# usage: tests/bench/reactor.sh [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh
need_packages build test bench
cmake --preset release -DRATCHET_BENCH=ON >/dev/null
cmake --build --preset release --target reactor_bench bench_beast bench_httplib >/dev/null
RATCHET_BUILD=$PWD/build/release exec /usr/bin/python3 tests/bench/reactor.py "$@"
