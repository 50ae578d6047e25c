#include "daemon/command_line.hpp"

#include <CLI/CLI.hpp>

#include "config/paths.hpp"

namespace ratchet {

CommandLine parse_command_line(int argc, char** argv) {
  CommandLine line;
  line.config = kDefaultConfigPath;
  CLI::App app{
      "Takes events over HTTP, commits them in PostgreSQL, carries them to Kafka; answers only while it can keep its "
      "word."};
  app.set_version_flag("--version", std::string("ratchetd ") + RATCHET_VERSION);
  app.add_option("--config", line.config, "configuration file")->capture_default_str();
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_subcommand("run", "run in the foreground (the default)");
  auto* check =
      app.add_subcommand("check", "read the configuration, name every mistake at once, exit 78 if there is one");
  auto* migrate = app.add_subcommand(
      "migrate",
      "create or update the schema \"ratchet\" in the database (re-runnable); exit 69 when it cannot be reached");
  migrate->add_option("--dsn", line.owner_dsn, "connect with this DSN (the owner's) instead of the pool's");
  migrate->add_option("--pool", line.pool, "this outbox pool only (default: all of them)");
  auto* reference = app.add_subcommand("reference", "print every configuration key: type, range, default, meaning");
  reference->add_flag("--schema", line.schema, "as JSON Schema, for editors");
  app.footer(
      "Exit: 0 asked to stop, 64 usage, 78 configuration, 1 a third SIGTERM or a migration that failed.\n"
      "SIGTERM drains and leaves; a second one skips the waits; a third leaves at once.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    line.exit_code = app.exit(error) == 0 ? 0 : 64;
    return line;
  }
  if (check->parsed()) line.verb = CommandLine::Verb::check;
  if (migrate->parsed()) line.verb = CommandLine::Verb::migrate;
  if (reference->parsed()) line.verb = CommandLine::Verb::reference;
  return line;
}

}  // namespace ratchet
