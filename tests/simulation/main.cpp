// simulation --seed N              one run, with its journal
// simulation [--seeds N] [--from S] N runs (default 1,000), seeds S.. (default 1); stops at the first violation
// ... --expect TEXT                a planted bug: right is only who finds a violation that says TEXT
//
// Every hundredth seed is run twice: the same seed must be the same run.
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <chrono>
#include <iostream>
#include <string>

#include "tests/simulation/run.hpp"

namespace {

using namespace ratchet;
using namespace ratchet::simulation;

volatile std::sig_atomic_t current_seed = 0;  // for the last words only

// An assertion of the product has failed; which seed it was must be known.
extern "C" void on_abort(int) {
  char text[64] = "simulation: aborted at seed ";
  std::size_t end = std::strlen(text);
  char digits[16];
  int count = 0;
  for (long seed = current_seed; count == 0 || seed > 0; seed /= 10)
    digits[count++] = static_cast<char>('0' + seed % 10);
  while (count > 0)
    text[end++] = digits[--count];
  text[end++] = '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, end);
}

struct Wanted {
  std::uint64_t from = 1, seeds = 1000;
  bool journal = false;
  std::string expect;
};

int usage() {
  std::cerr << "usage: simulation [--seed N | [--seeds N] [--from S]] [--expect TEXT]\n";
  return 64;
}

bool parse(int argc, char** argv, Wanted& wanted) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const std::string value = argv[i + 1];
    if (key == "--expect") {
      wanted.expect = value;
      continue;
    }
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(value.c_str(), &end, 10);
    if (end == value.c_str() || *end != '\0') return false;
    if (key == "--seed")
      wanted = {number, 1, true, wanted.expect};
    else if (key == "--seeds")
      wanted.seeds = number;
    else if (key == "--from")
      wanted.from = number;
    else
      return false;
  }
  return argc % 2 == 1;
}

void print_line(const std::string& line) { std::cout << line << '\n'; }

// What happened shortly before it.
void replay(std::uint64_t seed) {
  std::vector<std::string> lines;
  run(seed, [&lines](const std::string& line) { lines.push_back(line); });
  const std::size_t first = lines.size() > 60 ? lines.size() - 60 : 0;
  for (std::size_t i = first; i < lines.size(); ++i)
    print_line(lines[i]);
}

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  if (!parse(argc, argv, wanted)) return usage();
  std::signal(SIGABRT, on_abort);
  const auto began = std::chrono::steady_clock::now();
  Outcome sum;
  for (std::uint64_t seed = wanted.from; seed < wanted.from + wanted.seeds; ++seed) {
    current_seed = static_cast<std::sig_atomic_t>(seed);
    const Outcome outcome = run(seed, wanted.journal ? print_line : std::function<void(const std::string&)>());
    if (seed % 100 == 0 && run(seed).digest != outcome.digest) {
      std::cout << "seed " << seed << ": two runs of it differ\n";
      return 1;
    }
    if (outcome.violation) {
      const bool expected = !wanted.expect.empty() && outcome.violation->find(wanted.expect) != std::string::npos;
      if (!wanted.journal && !expected) replay(seed);
      std::cout << "seed " << seed << ": " << *outcome.violation << "\n";
      std::cout << (expected ? "the planted bug is caught, seed " : "replay: simulation --seed ") << seed << "\n";
      return expected ? 0 : 1;
    }
    sum.simulated += outcome.simulated;
    sum.acknowledged += outcome.acknowledged;
    sum.published += outcome.published;
    sum.buried += outcome.buried;
    sum.faults += outcome.faults;
    sum.starts += outcome.starts;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::cout << wanted.seeds << " seeds in " << took.count()
            << " s: " << std::chrono::duration_cast<std::chrono::hours>(sum.simulated).count() << " hours simulated, "
            << sum.faults << " faults, " << sum.starts << " starts, " << sum.acknowledged << " events acknowledged, "
            << sum.published << " records in Kafka, " << sum.buried << " buried, level 3 within "
            << std::chrono::duration<double>(kPromise).count() << " s each time\n";
  if (wanted.expect.empty()) return 0;
  std::cout << "the planted bug was not caught\n";
  return 1;
}
