// ratchetctl: asks and tells the daemon through its control socket. One request, one line of JSON each way.
#include <CLI/CLI.hpp>
#include <iostream>

#include "daemon/ctl/client.hpp"
#include "daemon/ctl/text.hpp"

namespace {

using ratchet::ctl::Answer;
using ratchet::ctl::Json;

int tell(const Answer& answer, bool json) {
  if (json) {
    std::cout << answer.body.dump(2) << '\n';
  } else if (answer.exit_code == 0) {
    std::cout << ratchet::ctl::to_text(answer.body) << '\n';
  }
  if (answer.exit_code != 0) std::cerr << "ratchetctl: " << answer.error << '\n';
  return answer.exit_code;
}

struct Words {
  std::string socket;
  bool json = false;
  int level = 0;
  double timeout_s = 60;
  std::string reason;
  std::string relay_verb;
  std::string pool;
  std::string route_verb;
  std::string path;
};

Json request_of(const CLI::App& app, const Words& words) {
  Json request{{"verb", app.get_subcommands().front()->get_name()}};
  const std::string verb = request["verb"];
  if (verb == "hold" || verb == "wait") request["level"] = words.level;
  if (verb == "wait") request["timeout_ms"] = static_cast<long>(words.timeout_s * 1000);
  if (verb == "route") request["path"] = words.path;
  if (verb == "route") request["what"] = words.route_verb;
  if (verb == "hold" || verb == "drain" || verb == "route") request["reason"] = words.reason;
  if (verb == "relay") request["what"] = words.relay_verb;
  if (verb == "reconnect") request["pool"] = words.pool;
  return request;
}

void describe(CLI::App& app, Words& words) {
  app.set_version_flag("--version", std::string("ratchetctl ") + RATCHET_VERSION);
  app.add_option("--socket", words.socket,
                 "control socket [$RATCHET_SOCKET, $RUNTIME_DIRECTORY/control.sock, /run/ratchetd/control.sock]");
  app.add_flag("--json", words.json, "print the daemon's answer as JSON");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_subcommand("status", "what it holds, what it is doing, why it is not higher");
  auto* wait = app.add_subcommand("wait", "until a level is held (exit 1 when the time is over)");
  wait->add_option("--level", words.level, "0..3")->required()->check(CLI::Range(0, 3));
  wait->add_option("--timeout", words.timeout_s, "seconds")->capture_default_str()->check(CLI::Range(0.0, 86400.0));
  auto* hold = app.add_subcommand("hold", "go down to a level, in order, and stay there until release");
  hold->add_option("level", words.level, "0..2")->required()->check(CLI::Range(0, 2));
  hold->add_option("--reason", words.reason, "shown and alarmed");
  app.add_subcommand("release", "end a hold or a drain: climb again");
  auto* drain = app.add_subcommand("drain", "leave the load balancer and close the port (hold 2) until release");
  drain->add_option("--reason", words.reason, "shown and alarmed");
  app.add_subcommand("restart", "the unit, by systemctl, as root: the port stays open, nobody is refused");
  auto* relay = app.add_subcommand("relay", "pause or resume carrying events to Kafka");
  relay->add_option("what", words.relay_verb, "pause | resume")->required()->check(CLI::IsMember({"pause", "resume"}));
  app.add_subcommand("pools", "the database pools: connections, last error, next attempt");
  auto* reconnect = app.add_subcommand("reconnect", "replace a pool's connections one by one while the others serve");
  reconnect->add_option("pool", words.pool, "its name in the configuration")->required();
  auto* route = app.add_subcommand("route", "switch a route off (it answers 503) or on again, until the next start");
  route->add_option("what", words.route_verb, "off | on")->required()->check(CLI::IsMember({"off", "on"}));
  route->add_option("path", words.path, "the route's path")->required();
  route->add_option("--reason", words.reason, "shown and alarmed");
  app.footer("Exit: 0 done, 1 refused or timed out, 64 usage, 69 no daemon there, 75 busy.");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Asks and tells a running ratchetd."};
  Words words;
  describe(app, words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  ratchet::ctl::Client client(ratchet::ctl::socket_path(words.socket));
  const Json request = request_of(app, words);
  if (request["verb"] == "restart") return tell(client.restart(), words.json);
  return tell(request["verb"] == "wait" ? client.wait(request) : client.ask(request), words.json);
}
