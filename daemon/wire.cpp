#include "daemon/wire.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "config/paths.hpp"
#include "daemon/control.hpp"
#include "daemon/file_budget.hpp"
#include "daemon/manager.hpp"
#include "daemon/memory_return.hpp"
#include "daemon/signals.hpp"
#include "daemon/systemd.hpp"
#include "levels/0_baseline/ops.hpp"
#include "levels/1_database/databases.hpp"
#include "levels/2_broker/level.hpp"
#include "levels/3_service/level.hpp"
#include "levels/3_service/problem.hpp"
#include "levels/core/together.hpp"

namespace ratchet {
namespace {

std::vector<std::string> topics_of(const std::vector<EventRoute>& routes) {
  std::vector<std::string> topics;
  for (const auto& route : routes)
    if (std::find(topics.begin(), topics.end(), route.topic) == topics.end()) topics.push_back(route.topic);
  return topics;
}

// The shortest time that any pool of level 1 asks for; one that is not required is not part of it.
std::array<Vital, kTopLevel + 1> vital_levels(const Settings& settings) {
  std::array<Vital, kTopLevel + 1> vital;
  seconds least{0};
  for (const auto& [name, pool] : settings.pools)
    if (pool.required && pool.vital > seconds(0) && (least == seconds(0) || pool.vital < least)) least = pool.vital;
  vital[1] = Vital(least);
  vital[2] = Vital(settings.broker.vital);
  return vital;
}

// Two daemons with a copied instance name must not take each other's lease.
std::string relay_owner(const std::string& instance, const RandomSource& random) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::array<std::uint8_t, 8> bytes{};
  random.fill(bytes);
  std::string owner = instance + "/";
  for (const std::uint8_t byte : bytes) {
    owner += kHex[byte >> 4];
    owner += kHex[byte & 15];
  }
  return owner;
}

// Unknown: none.
std::size_t file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::size_t>::max();
  return files.rlim_cur;
}

// To the hard limit; what is so afterwards.
std::size_t raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);  // not raised: the limit that is counts, and is told where it is too low
  }
  return file_limit();
}

Settings within(const FileBudget& files, Settings settings) {
  settings.service.limits.connections = files.service_connections;
  settings.ops.connections = files.ops_connections;
  return settings;
}

}  // namespace

struct Daemon::Inside {
  Inside(const Settings& given, const std::vector<ConfigWarning>& warnings, const TimeSource& clock,
         std::function<double()> any_chance, const RandomSource& source)
      : files(share_files(given, raise_file_limit())),
        settings(within(files, given)),
        time(clock),
        chance(std::move(any_chance)),
        random(source) {
    databases.set_sink(&server);
    for (const auto& warning : warnings)
      alarms.set(warning.id, warning.pointer + ": " + warning.text,
                 "name the secret in the configuration instead of writing it there");
    if (files.needed > files_had) tell_few_files(given);
  }

  int run() {
    log.notice("starting", {{"version", RATCHET_VERSION}, {"instance", settings.instance}});
    databases.start();
    const int exit_code = manager.run();
    databases.stop();
    return exit_code;
  }

  struct Publisher;

  void tell_few_files(const Settings& given) {
    const auto said = [](const char* key, std::size_t wanted, std::size_t had) {
      return wanted == had ? std::string()
                           : std::string("; until then ") + key + " counts as " + std::to_string(had) +
                                 " instead of " + std::to_string(wanted);
    };
    alarms.set("limit.files",
               "at most " + std::to_string(files_had) + " open files, " + std::to_string(files.needed) +
                   " may be needed",
               "raise LimitNOFILE, or lower service.limits.connections" +
                   said("service.limits.connections", given.service.limits.connections, files.service_connections) +
                   said("ops.connections", given.ops.connections, files.ops_connections));
  }

  void turn(const Status& status, TimePoint now) {
    if (!ops_open && now >= ops_try_at) {
      ops_open = ops.open();
      ops_try_at = now + seconds(1);
    }
    port.turn(now);
    systemd.turn(status, now);
    log.say_repeats();
    memory.turn(now);
  }

  CommandReply switch_route(const std::string& path, bool on, const std::string& why) {
    if (!server.switch_route(path, on, why)) return {false, "no route has the path \"" + path + "\""};
    return {true,
            on ? "route " + path + " is on" : "route " + path + " is off: it answers 503 until it is switched on"};
  }

  // "41 req/s", since the last time it was asked.
  std::string request_rate() {
    const auto now = time.now();
    const auto requests = server.requests();
    const double passed = std::chrono::duration<double>(now - rate_at).count();
    const auto since = requests - std::min(requests, rate_requests);
    rate_at = now;
    rate_requests = requests;
    return std::to_string(passed > 0 ? std::llround(static_cast<double>(since) / passed) : 0) + " req/s";
  }

  bool is_exiting() const {
    const auto status = board.read();
    return status && status->doing == Doing::stopping;
  }
  // For who waited at the port while this process climbed in vain.
  std::string refusal() {
    service::Problem problem =
        service::problem_of(service::ProblemKind::unavailable, "this instance does not serve yet");
    problem.retry_after_s = health.retry_after();
    problem.close = true;
    return service::to_response(problem, "");
  }

  static std::vector<Level*> members(const std::vector<db::Database*>& all) { return {all.begin(), all.end()}; }
  std::vector<std::unique_ptr<Publisher>> make_publishers() {
    std::vector<std::unique_ptr<Publisher>> all;
    for (db::Database* outbox : databases.outboxes())
      all.push_back(std::make_unique<Publisher>(*this, *outbox));
    return all;
  }
  std::vector<Level*> brokers() {
    std::vector<Level*> all;
    for (auto& publisher : publishers)
      all.push_back(&publisher->broker);
    return all;
  }
  std::vector<service::Outbox> outboxes() {
    std::vector<service::Outbox> all;
    for (auto& publisher : publishers) {
      all.push_back({publisher->pool, publisher->commits, [&relay = publisher->relay] { return relay.behind(); },
                     [this, &pool = publisher->pool] { return databases.next_attempt(pool); }});
    }
    return all;
  }
  void pause_relays(bool paused) {
    for (auto& publisher : publishers)
      publisher->relay.pause(paused);
  }

  Systemd::Parts systemd_parts() {
    Systemd::Parts parts;
    parts.alive = [this] { return server.alive(time.now()) && ops.alive(time.now()); };
    parts.suffix = [this] { return request_rate(); };
    parts.extend_by = settings.service.drain.total + seconds(5);
    return parts;
  }

  Manager::Parts manager_parts() {
    return {
        .instance = settings.instance,
        .version = RATCHET_VERSION,
        .levels = {&database, &broker, &service},
        .time = time,
        .chance = chance,
        .log = log,
        .metrics = metrics,
        .history = history,
        .alarms = alarms,
        .board = board,
        .drain = settings.service.drain,
        .vital = vital_levels(settings),
        .on_turn = [this](const Status& status, TimePoint now) { turn(status, now); },
        .on_hangup =
            [this] { log.notice("SIGHUP: this version reads its configuration at start only; restart to change it"); },
        .cut_requests = [this] { return service.cut_requests(); },
    };
  }

  const FileBudget files;
  const std::size_t files_had = file_limit();
  const Settings settings;
  const TimeSource& time;
  std::function<double()> chance;
  const RandomSource& random;

  // Level 0
  Log log{settings.log, time};
  const std::vector<service::KeptPort::Inherited> inherited =
      inherited_sockets(log);  // before there are threads that read the environment
  Metrics metrics;
  History history;
  AlarmBoard alarms{time, log};
  StatusBoard board;
  Health health{board,
                time,
                settings.service.drain.code,
                {Networks(balancers_of(settings.service)), settings.service.probe_secret.has_value()},
                &log};
  Ops ops{{settings, board, history, health, alarms, time, log, metrics}};
  bool ops_open = false;
  TimePoint ops_try_at{};
  MemoryReturn memory;
  Mailbox mailbox;

  // Level 1
  db::Databases databases{{settings, time, log, metrics, alarms, history, mailbox, chance}};
  Together database{"database", members(databases.required()), [this] { return databases.missing(); }};

  // Level 2: for each outbox a relay, with a producer of its own while the level is held
  struct Publisher {
    Publisher(Inside& daemon, db::Database& database)
        : pool(database.settings().name),
          commits(*database.commits()),
          relay({database.pool(), daemon.time, daemon.log, daemon.metrics, daemon.alarms, daemon.owner,
                 daemon.settings.outbox}),
          broker(daemon.settings.broker, topics_of(daemon.settings.routes), daemon.settings.service.drain.flush, relay,
                 daemon.record_limits,
                 {daemon.time, daemon.log, daemon.metrics, daemon.alarms, daemon.mailbox, daemon.reaper,
                  "ratchetd-" + daemon.settings.instance}) {
      commits.set_committed([this] { relay.wake(); });
    }
    const std::string pool;
    db::GroupCommit& commits;
    kafka::Relay relay;
    kafka::BrokerLevel broker;
  };
  const std::string owner = relay_owner(settings.instance, random);
  kafka::RecordLimits record_limits;
  std::shared_ptr<kafka::Reaper> reaper = kafka::make_reaper(log, alarms);
  std::vector<std::unique_ptr<Publisher>> publishers = make_publishers();
  Together broker{"broker", brokers()};

  // Level 3
  FdStore fd_store{log};
  service::KeptPort port{{settings.service.listen, settings.service.hold, settings.service.limits, fd_store,
                          [this] { return is_exiting(); }, [this] { return refusal(); }, time, log, metrics},
                         inherited};
  service::Server server{
      {settings, health, outboxes(), record_limits, time, log, metrics, chance, random, alarms, &port}};
  service::Registrars registrars{
      {settings, health, time, log, metrics, alarms, chance, [this] { return port.survived(); }}};
  service::ProbeSecret probe_secret{settings.service.probe_secret, health, alarms};
  service::ServiceLevel service{
      server, health,      settings.service.drain, [this] { return databases.can_commit(); }, time,
      log,    &registrars, &probe_secret};

  // The control thread and who speaks to it
  std::uint64_t rate_requests = 0;
  TimePoint rate_at{};
  Systemd systemd{systemd_parts()};
  Manager manager{manager_parts(), mailbox};
  Control control{
      {control_path(settings), board, mailbox, [this](bool paused) { pause_relays(paused); },
       [this] { return databases.status(); }, [this](std::string_view pool) { return databases.reconnect(pool); }, time,
       log, alarms,
       [this](const std::string& path, bool on, const std::string& why) { return switch_route(path, on, why); }}};
  Signals signals{mailbox, {}, [this] { port.expect_restart(); }};
};

Daemon::Daemon(const Settings& settings, const std::vector<ConfigWarning>& warnings, const TimeSource& time,
               std::function<double()> chance, const RandomSource& random)
    : inside_(std::make_unique<Inside>(settings, warnings, time, std::move(chance), random)) {}
Daemon::~Daemon() = default;
int Daemon::run() { return inside_->run(); }

}  // namespace ratchet
