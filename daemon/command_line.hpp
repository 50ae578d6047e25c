// What was asked for on the command line.
#pragma once

#include <cstdint>
#include <string>

namespace ratchet {

struct CommandLine {
  enum class Verb : std::uint8_t { run, check, migrate, reference };
  Verb verb = Verb::run;
  std::string config;     // --config, else the default path
  std::string owner_dsn;  // migrate --dsn
  std::string pool;       // migrate --pool; empty: all outbox pools
  bool schema = false;    // reference --schema
  int exit_code = -1;     // >= 0: said all there is to say (--help, --version, a mistake): exit so
};

// Prints help, version and usage mistakes itself. Exit codes: 0, 64 usage.
CommandLine parse_command_line(int argc, char** argv);

}  // namespace ratchet
