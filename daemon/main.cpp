// Table of contents. Everything that is real (clocks, randomness) is named here and nowhere else.
#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <random>

#include "config/load.hpp"
#include "daemon/command_line.hpp"
#include "daemon/commands.hpp"
#include "daemon/memory_return.hpp"
#include "daemon/signals.hpp"
#include "daemon/wire.hpp"

namespace {

class RealTime final : public ratchet::TimeSource {
 public:
  ratchet::TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }
  ratchet::WallTime wall() const noexcept override { return std::chrono::system_clock::now(); }
};

// The kernel's generator; any thread. It waits for the kernel's first seed, at the boot of the machine only.
class RealRandom final : public ratchet::RandomSource {
 public:
  void fill(std::span<std::uint8_t> bytes) const noexcept override {
    while (!bytes.empty()) {
      const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
      if (got > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(got));
      } else if (errno != EINTR) {
        std::abort();  // a kernel without getrandom(2): ids that can be guessed are no substitute
      }
    }
  }
};

// Jitter; any thread.
class Chance {
 public:
  double operator()() {
    std::lock_guard lock(mutex_);
    return uniform_(engine_);
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_{(std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}()};
  std::uniform_real_distribution<double> uniform_;
};

}  // namespace

int main(int argc, char** argv) {
  const ratchet::CommandLine line = ratchet::parse_command_line(argc, argv);
  if (line.exit_code >= 0) return line.exit_code;
  if (line.verb == ratchet::CommandLine::Verb::reference) return ratchet::reference(line.schema);

  const ratchet::Loaded loaded = ratchet::load_file(line.config);
  if (!loaded.settings) {
    std::cerr << to_string(loaded.mistakes);
    return ratchet::kExitConfiguration;
  }
  const RealTime time;
  if (line.verb == ratchet::CommandLine::Verb::check) return ratchet::check(loaded);
  if (line.verb == ratchet::CommandLine::Verb::migrate) return ratchet::migrate(*loaded.settings, line.owner_dsn, line.pool, time);

  ratchet::MemoryReturn::keep_large_apart();
  ratchet::block_signals();
  Chance chance;
  const RealRandom random;
  ratchet::Daemon daemon(*loaded.settings, loaded.warnings, time, [&chance] { return chance(); }, random);
  return daemon.run();
}
