#!/usr/bin/env bash
# The reactor beside nginx, cpp-httplib and Boost.Beast, in one run. Prints; asserts nothing.
# usage: tests/bench/reactor.sh [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh
need_packages build test bench
cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRATCHET_BENCH=ON >/dev/null  # as it is shipped, and the tests' part
cmake --build build/bench --target reactor_bench bench_beast bench_httplib >/dev/null
RATCHET_BUILD=$PWD/build/bench exec /usr/bin/python3 tests/bench/reactor.py "$@"
