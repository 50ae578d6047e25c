#include "levels/1_database/conninfo.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <memory>

#include "config/secret.hpp"

namespace ratchet::db {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts(1);
  for (const char c : list) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n')
    text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::string Target::where() const {
  if (by_socket()) {
    const std::string folder = host.empty() ? "/var/run/postgresql" : host;
    return folder + "/.s.PGSQL." + port;
  }
  const std::string& name = host.empty() ? address : host;
  return (name.find(':') == std::string::npos ? name : '[' + name + ']') + ':' + port;
}

Result<Conninfo, std::string> Conninfo::parse(const std::string& dsn) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfoParse(dsn.c_str(), &message),
                                                                               PQconninfoFree);
  if (!options) {
    std::string text = message == nullptr ? "out of memory" : one_line(redact(message));
    PQfreemem(message);
    return text;
  }
  Conninfo parsed;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parsed.values_[option->keyword] = option->val;
  }
  return parsed;
}

std::string Conninfo::get(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::string() : found->second;
}

std::vector<Target> Conninfo::targets() const {
  const auto hosts = split(get("host"));
  const auto addresses = split(get("hostaddr"));
  const auto ports = split(get("port"));
  std::vector<Target> all(std::max(hosts.size(), addresses.size()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i < hosts.size()) all[i].host = hosts[i];
    if (i < addresses.size()) all[i].address = addresses[i];
    all[i].port = ports.size() == 1 ? ports[0] : i < ports.size() ? ports[i] : std::string();
    if (all[i].port.empty()) all[i].port = "5432";
  }
  return all;
}

Conninfo Conninfo::with(const Target& target) const {
  Conninfo one = *this;
  one.values_["host"] = target.host;
  one.values_["hostaddr"] = target.address;
  one.values_["port"] = target.port;
  return one;
}

std::string Conninfo::text() const {
  std::string all;
  for (const auto& [key, value] : values_) {
    if (value.empty()) continue;
    if (!all.empty()) all += ' ';
    all += key + "='";
    for (const char c : value) {
      if (c == '\'' || c == '\\') all += '\\';
      all += c;
    }
    all += '\'';
  }
  return all;
}

std::string Conninfo::where() const {
  std::string all;
  for (const auto& target : targets())
    all += (all.empty() ? "" : ", ") + target.where();
  return all;
}

}  // namespace ratchet::db
