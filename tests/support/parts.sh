# shellcheck shell=bash
# The parts of tests/run.sh. Each writes JUnit files into $results; sum_results.py adds them up.

py=/usr/bin/python3
jobs=$(nproc)

# A part that broke before its tests could report (a build that fails) is one failure, never silence.
note_failure() {
  local name=$1
  printf '<testsuite><testcase name="%s"><failure/></testcase></testsuite>\n' "$name" >"$results/part-$name-$RANDOM.xml"
}

note_skip() {
  local name=$1 why=$2
  echo "SKIPPED $name: $why"
  printf '<testsuite><testcase name="%s"><skipped/></testcase></testsuite>\n' "$name" >"$results/skip-$name.xml"
}

build() { cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -- -j "$jobs" | grep -vE '^\[[0-9]+/[0-9]+\]' ; return "${PIPESTATUS[0]}"; }

# C++ programs of a preset. Two at a time: some start servers of their own.
run_ctest() {
  local preset=$1
  shift
  ctest --preset "$preset" -j "$jobs" --output-junit "$results/ctest-$preset.xml" "$@" | grep -vE ' Passed +[0-9.]+ sec$|^ +Start '
  [ -s "$results/ctest-$preset.xml" ]   # ctest's own verdict is in the file
}

run_pytest() {
  local name=$1 build=$2
  shift 2
  RATCHET_BUILD=$PWD/build/$build "$py" -m pytest -q -p no:cacheprovider -n "$jobs" --dist loadfile --junitxml "$results/pytest-$name.xml" -rs "$@" || true
  [ -s "$results/pytest-$name.xml" ]
}

part_plain() {
  tests/support/get_kafka.sh || return 1
  build dev || return 1
  run_ctest dev || return 1
  # What needs a package is part of --package.
  run_pytest plain dev --ignore=tests/system/upgrade_test.py --ignore=tests/system/first_hour_test.py tests/style tests/system
}

export_sanitizers() {
  export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1"
  export LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp"
  export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
  export TSAN_OPTIONS="suppressions=$PWD/tests/support/tsan.supp:halt_on_error=1:exitcode=99"
  export RATCHET_SLOW=4
}

sanitized() (
  export_sanitizers
  tests/support/get_kafka.sh || return 1
  build "$1" || return 1
  run_ctest "$1" -LE kafka || return 1  # Kafka is in the system tests below
  run_pytest "$1" "$1" tests/system -m sanitized
)
part_asan() { sanitized asan; }
part_tsan() { sanitized tsan; }

part_tidy() {
  cmake --preset tidy >/dev/null || return 1
  if cmake --build --preset tidy -- -j "$jobs" >"$results/tidy.log" 2>&1; then
    printf '<testsuite><testcase name="clang-tidy"/></testsuite>\n' >"$results/tidy.xml"
  else
    grep -E 'error|warning' "$results/tidy.log" | sort -u | head -40
    return 1
  fi
}

part_fuzz() {
  local fuzzer
  cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++ -DRATCHET_FUZZ=ON >/dev/null || return 1
  cmake --build build/fuzz --target fuzzers -- -j "$jobs" >/dev/null || return 1
  for fuzzer in build/fuzz/tests/fuzz/*_fuzz; do
    local name
    name=$(basename "$fuzzer" _fuzz)
    local found=$results/fuzz-$name
    mkdir -p "$found"
    if "$fuzzer" -max_len=4096 -max_total_time="${RATCHET_FUZZ_SECONDS:-30}" -print_final_stats=1 -artifact_prefix="$found/" "$found" "tests/fuzz/${name}_corpus" >"$results/$name.log" 2>&1; then
      grep -E 'stat::number_of_executed_units' "$results/$name.log" | sed "s/^/$name: /"
      printf '<testsuite><testcase name="fuzz %s"/></testsuite>\n' "$name" >"$results/fuzz-$name.xml"
    else
      tail -n 30 "$results/$name.log"
      note_failure "fuzz-$name"
    fi
  done
}

part_package() {
  [ "$(id -u)" = 0 ] || { note_skip package "needs root for a chroot"; return 0; }
  unshare -m true 2>/dev/null || { note_skip package "this machine allows no mount namespace"; return 0; }
  local release cache=${XDG_CACHE_HOME:-$HOME/.cache}/ratchetd-tests/package
  for release in bookworm trixie; do
    tests/support/package.sh "$release" "$cache" "$PWD" "$results/package-$release.xml" || note_failure "package-$release"
  done
  tests/support/get_kafka.sh || return 1
  build dev || return 1
  for release in bookworm trixie; do
    RATCHET_ROOT=$cache/boots-$release RATCHET_DEB=$(find "$cache/made-$release" -name 'ratchetd_*.deb') \
      run_pytest "first-hour-$release" dev tests/system/first_hour_test.py
  done
  # Upgraded under load in a real systemd: with the package of this machine's own release.
  release=$(sed -n "s/^VERSION_CODENAME=//p" /etc/os-release)
  RATCHET_DEB=$(find "$cache/made-$release" -name 'ratchetd_*.deb') run_pytest upgrade dev tests/system/upgrade_test.py
}

part_debian13() {
  [ "$(id -u)" = 0 ] || { note_skip debian13 "needs root for a chroot"; return 0; }
  unshare -m true 2>/dev/null || { note_skip debian13 "this machine allows no mount namespace"; return 0; }
  local root=${XDG_CACHE_HOME:-$HOME/.cache}/ratchetd-tests/debian13
  tests/support/debian13.sh "$root" "$PWD" "$results/ctest-debian13.xml"
}
