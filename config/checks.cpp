#include "config/checks.hpp"

#include <algorithm>
#include <map>

#include "config/syntax.hpp"

namespace ratchet {

namespace {

using Sound = std::function<bool(std::string_view)>;
using Report = std::function<void(CrossMistake)>;

std::string ms(milliseconds value) { return std::to_string(value.count()); }

bool any_address(const ListenAddress& address) { return address.host == "0.0.0.0" || address.host == "::"; }

void listen_addresses(const Settings& settings, const Sound& sound, const Report& report) {
  if (!sound("/service/listen") || !sound("/ops/listen")) return;
  const ListenAddress& service = settings.service.listen;
  const ListenAddress& ops = settings.ops.listen;
  if (service.is_local() || service.port != ops.port) return;
  if (service.host != ops.host && !any_address(service) && !any_address(ops)) return;
  report({"/ops/listen", shown(to_string(ops)),
          "another port than the service's (" + to_string(service) + ", /service/listen)"});
}

void no_unix_peers(const Settings& settings, std::string_view key, const std::vector<std::string>& peers,
                   const Sound& sound, const Report& report) {
  if (!sound(key) || !sound("/service/listen") || settings.service.listen.is_local()) return;
  const auto local = std::find(peers.begin(), peers.end(), "unix:");
  if (local == peers.end()) return;
  report({std::string(key) + "/" + std::to_string(local - peers.begin()), "string \"unix:\"",
          "a network: /service/listen is no unix socket"});
}

void drain_budget(const Settings& settings, const Sound& sound, const Report& report) {
  if (!sound("/service/drain")) return;
  const DrainSettings& drain = settings.service.drain;
  const milliseconds wait = drain.lb_wait.value_or(milliseconds{0});
  const milliseconds stages = wait + drain.late + drain.requests + drain.flush;
  if (drain.total >= stages) return;
  report({"/service/drain/total_ms", ms(drain.total),
          "at least " + ms(stages) + ": " + (wait.count() > 0 ? "lb_wait " + ms(wait) + " + " : "") + "late_ms " +
              ms(drain.late) + " + requests_ms " + ms(drain.requests) + " + flush_ms " + ms(drain.flush)});
}

void connections(const Settings& settings, const Sound& sound, const Report& report) {
  if (!sound("/outbox/committers")) return;
  for (const auto& [name, pool] : settings.pools) {
    const std::string pointer = "/database/pools/" + name + "/size";
    const int least = settings.outbox.committers + 2;
    if (!pool.is_outbox() || !sound(pointer) || pool.size >= least) continue;
    report({pointer, std::to_string(pool.size),
            "at least " + std::to_string(least) + ": /outbox/committers, the relay and the probe"});
  }
}

void vital_pools(const Settings& settings, const Sound& sound, const Report& report) {
  for (const auto& [name, pool] : settings.pools) {
    const std::string pointer = "/database/pools/" + name + "/vital/exit_after_s";
    if (!sound(pointer) || pool.required || pool.vital == seconds{0}) continue;
    report({pointer, std::to_string(pool.vital.count()), "0, or a pool that is `required`"});
  }
}

void commit_queue(const Settings& settings, const Sound& sound, const Report& report) {
  if (!sound("/outbox/queue_bytes") || !sound("/service/limits/body_bytes")) return;
  if (settings.outbox.queue_bytes >= settings.service.limits.body_bytes) return;
  report({"/outbox/queue_bytes", std::to_string(settings.outbox.queue_bytes),
          "at least /service/limits/body_bytes (" + std::to_string(settings.service.limits.body_bytes) + ")"});
}

// One whole request must fit, its pieces as they come included.
void buffers(const Settings& settings, const Sound& sound, const Report& report) {
  if (!sound("/service/limits")) return;
  const HttpLimits& limits = settings.service.limits;
  const std::size_t least = limits.request_line_bytes + limits.header_bytes + limits.body_bytes + 128 * kKiB;
  if (limits.buffer_bytes >= least) return;
  report({"/service/limits/buffer_bytes", std::to_string(limits.buffer_bytes),
          "at least " + std::to_string(least) + ": request_line_bytes, header_bytes, body_bytes and 128 KiB"});
}

}  // namespace

void check_together(const Settings& settings, const Sound& sound, const Report& report) {
  listen_addresses(settings, sound, report);
  no_unix_peers(settings, "/service/trusted_proxies", settings.service.trusted_proxies, sound, report);
  no_unix_peers(settings, "/service/balancers", settings.service.balancers.value_or(std::vector<std::string>()), sound,
                report);
  drain_budget(settings, sound, report);
  connections(settings, sound, report);
  commit_queue(settings, sound, report);
  buffers(settings, sound, report);
  vital_pools(settings, sound, report);
}

}  // namespace ratchet
