#!/usr/bin/env bash
# Installs, builds and runs the tests. The last line sums all suites: `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
# shellcheck source=packaging/dependencies.sh
. packaging/dependencies.sh

usage() {
  cat <<'TEXT'
usage: tests/run.sh [--asan] [--tsan] [--debian13] [--fuzz] [--tidy] [--package] [--ci] [--all]
  (no option)  unit, property and scenario tests, tests against real PostgreSQL and Kafka, system tests, style
  --asan       the same programs under ASan + UBSan, and a subset of the system tests
  --tsan       the same programs under TSan, and a subset of the system tests
  --debian13   builds with warnings as errors in a Debian 13 root and runs the unit tests there
  --fuzz       each fuzzer for 30 s
  --tidy       clang-tidy over config/, levels/ and daemon/
  --package    builds the Debian package on Debian 12 and 13, installs it in fresh roots, purges it
  --ci         what every change must pass: the plain run, asan, tsan, debian13, fuzz
  --all        everything above
Exit: 0 when nothing failed.
TEXT
}

parts=()
for word in "$@"; do
  case $word in
    --asan | --tsan | --debian13 | --fuzz | --tidy | --package) parts+=("${word#--}") ;;
    --ci) parts=(plain asan tsan debian13 fuzz) ;;
    --all) parts=(plain asan tsan debian13 fuzz tidy package) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(plain)

results=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-results.XXXXXX")
trap 'rm -rf "$results"' EXIT
# shellcheck source=tests/support/parts.sh
. tests/support/parts.sh

need_packages build run test
started=$SECONDS
for part in "${parts[@]}"; do
  printf '\n== %s\n' "$part"
  "part_$part" || note_failure "$part"
  printf '== %s: %d s so far\n' "$part" $((SECONDS - started))
done
/usr/bin/python3 tests/support/sum_results.py "$results"
