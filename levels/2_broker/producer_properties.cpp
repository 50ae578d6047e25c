#include "levels/2_broker/producer_properties.hpp"

#include <array>
#include <vector>

namespace ratchet::kafka {
namespace {

struct Property {
  const char* name;
  const char* value;
};

// What the promise rests on. Set after the user's properties, which may not name them.
constexpr std::array kOwned = {
    Property{"enable.idempotence", "true"},
    Property{"acks", "all"},
    Property{"partitioner", "murmur2_random"},
    Property{"allow.auto.create.topics", "false"},  // by default a metadata request creates the topic
    Property{"message.timeout.ms", "0"},            // never: the outbox has the record, and the relay watches its age
    Property{"statistics.interval.ms", "0"},
    Property{"log.queue", "true"},    // log lines come on our poll thread, too
    Property{"linger.ms", "900000"},  // the most there is: a wave leaves when `send` says so
};

// Other names for them, and what would undo them.
constexpr std::array kRefused = {
    "bootstrap.servers", "metadata.broker.list",     "request.required.acks", "delivery.timeout.ms",
    "retries",           "message.send.max.retries", "max.in.flight",         "max.in.flight.requests.per.connection",
    "transactional.id",  "enable.gapless.guarantee", "test.mock.num.brokers", "queue.buffering.max.ms",
};

// Better defaults for somebody who wants to know soon; the user's properties win.
constexpr std::array kDefaults = {
    Property{"socket.timeout.ms", "3000"},
    Property{"socket.connection.setup.timeout.ms", "2000"},
    Property{"socket.keepalive.enable", "true"},
    Property{"socket.nagle.disable", "true"},
    Property{"reconnect.backoff.ms", "50"},
    Property{"reconnect.backoff.max.ms", "500"},  // 10 s by default: recovery would be noticed that late
    Property{"connections.max.idle.ms", "0"},     // closing idle connections looks like "all brokers down"
    Property{"log.connection.close", "false"},
    Property{"queue.buffering.max.kbytes", "65536"},
    Property{"message.max.bytes", "33554432"},              // the topic's own limit decides, not the client's
    Property{"topic.metadata.propagation.max.ms", "1000"},  // a misspelt topic is told in a second, not in thirty
};

bool ours(const std::string& name) noexcept {
  for (const auto& property : kOwned) {
    if (name == property.name) return true;
  }
  for (const char* refused : kRefused) {
    if (name == refused) return true;
  }
  return false;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const auto& part : parts)
    all += (all.empty() ? "" : ",") + part;
  return all;
}

}  // namespace

Result<std::map<std::string, std::string>, PropertyRefused> producer_properties(const BrokerSettings& settings,
                                                                                const std::string& client_id) {
  std::map<std::string, std::string> all;
  for (const auto& property : kDefaults)
    all[property.name] = property.value;
  for (const auto& [name, value] : settings.properties)
    all[name] = value;
  for (const auto& [name, secret] : settings.secret_properties) {
    Secret::Value value = secret.read();
    if (!value.error.empty())
      return PropertyRefused{FaultKind::authentication, "property " + name + ": " + value.error};
    all[name] = value.text;
  }
  for (const auto& [name, value] : all) {
    if (ours(name)) return PropertyRefused{FaultKind::unknown, "property " + name + " is set by ratchetd itself"};
  }
  for (const auto& property : kOwned)
    all[property.name] = property.value;
  all["bootstrap.servers"] = joined(settings.bootstrap);
  all.emplace("client.id", client_id);
  return all;
}

}  // namespace ratchet::kafka
