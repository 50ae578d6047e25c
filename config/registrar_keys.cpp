#include "config/registrar_keys.hpp"

#include <algorithm>
#include <array>

#include "config/describe.hpp"
#include "config/syntax.hpp"

namespace ratchet {

namespace {

using Sound = std::function<bool(std::string_view)>;
using Report = std::function<void(CrossMistake)>;

constexpr unsigned bit(RegistrarType type) { return 1U << static_cast<unsigned>(type); }
constexpr unsigned kAgent = bit(RegistrarType::haproxy_agent);
constexpr unsigned kRuntime = bit(RegistrarType::haproxy_runtime);
constexpr unsigned kHttp = bit(RegistrarType::http);
constexpr unsigned kExec = bit(RegistrarType::exec);
constexpr unsigned kAll = ~0U;

struct Belongs {
  std::string_view key;
  unsigned types;
  bool needed = false;
};
constexpr std::array<Belongs, 13> kKeys = {{
    {"type", kAll},
    {"name", kAll},
    {"timeout_ms", kRuntime | kHttp | kExec},
    {"heartbeat_ms", kRuntime | kHttp | kExec},
    {"deregister_ms", kAgent | kRuntime | kHttp | kExec},
    {"address", kHttp | kExec},
    {"listen", kAgent, true},
    {"sockets", kRuntime, true},
    {"server", kRuntime, true},
    {"requests", kHttp, true},
    {"secrets", kHttp},
    {"ca_file", kHttp},
    {"argv", kExec, true},
}};

// No address that somebody else could connect to.
bool any_address(const ListenAddress& address) {
  return address.is_local() || address.host == "0.0.0.0" || address.host == "::";
}

bool same_port(const ListenAddress& a, const ListenAddress& b) {
  return !a.is_local() && !b.is_local() && a.port == b.port && (a.host == b.host || any_address(a) || any_address(b));
}

// All {secret:NAME} of a phrase must be known.
void secrets_of(const RegistrarSettings& registrar, const std::string& phrase, const std::string& pointer,
                const Report& report) {
  constexpr std::string_view kBegin = "{secret:";
  for (std::size_t at = phrase.find(kBegin); at != std::string::npos; at = phrase.find(kBegin, at + 1)) {
    const std::size_t from = at + kBegin.size();
    const std::string name = phrase.substr(from, std::min(phrase.find('}', from), phrase.size()) - from);
    if (registrar.secrets.count(name) == 0)
      report({pointer, "the secret " + shown(name), "one that stands in `secrets` of this registrar"});
  }
}

void check_http(const RegistrarSettings& registrar, const std::string& at, const Report& report) {
  for (const std::string_view verb : {"register", "deregister"}) {
    if (registrar.requests.count(std::string(verb)) == 0)
      report({at + "/requests/" + std::string(verb), "nothing", "the request of this verb"});
  }
  for (const auto& [verb, request] : registrar.requests) {
    const std::string pointer = std::string(at).append("/requests/").append(verb);
    if (!request.url.starts_with("http://") && !request.url.starts_with("https://"))
      report({pointer + "/url", "string " + shown(request.url), "a URL that begins with http:// or https://"});
    if (!is_visible(request.url))
      report({pointer + "/url", "a URL with spaces or control characters", "printable ASCII without spaces"});
    secrets_of(registrar, request.url, pointer + "/url", report);
    secrets_of(registrar, request.body, pointer + "/body", report);
    for (const auto& [name, value] : request.headers)
      secrets_of(registrar, value, pointer + "/headers" + pointer_step(name), report);
  }
}

void check_one(const Settings& settings, RegistrarSettings& one, const std::string& at, const Report& report) {
  if (!one.address) {
    one.address = settings.service.listen;
    if ((one.type == RegistrarType::http || one.type == RegistrarType::exec) && any_address(*one.address))
      report({at + "/address", "nothing",
              "the address under which balancers reach us: service.listen, " + to_string(*one.address) + ", is none"});
  }
  if (one.type == RegistrarType::http) check_http(one, at, report);
  if (one.type == RegistrarType::haproxy_runtime) {
    const std::size_t slash = one.server.find('/');
    if (slash == 0 || slash + 1 >= one.server.size() || one.server.find('/', slash + 1) != std::string::npos ||
        one.server.find(';') != std::string::npos)
      report({at + "/server", "string " + shown(one.server), "\"backend/server\""});
  }
  if (one.type == RegistrarType::exec && !one.argv.front().starts_with('/'))
    report({at + "/argv/0", "string " + shown(one.argv.front()), "absolute path of a program"});
  if (one.type == RegistrarType::haproxy_agent) {
    for (const ListenAddress* other : {&settings.service.listen, &settings.ops.listen}) {
      if (same_port(one.listen, *other))
        report({at + "/listen", shown(to_string(one.listen)), "a port that neither service.listen nor ops.listen has"});
    }
  }
}

}  // namespace

std::string_view to_string(RegistrarType type) noexcept {
  constexpr std::array<std::string_view, 5> kNames = {"health", "haproxy-agent", "haproxy-runtime", "http", "exec"};
  return kNames[static_cast<std::size_t>(type)];
}

bool belongs_to_registrar(RegistrarType type, std::string_view key) noexcept {
  const auto* row = std::find_if(kKeys.begin(), kKeys.end(), [&](const Belongs& r) { return r.key == key; });
  return row == kKeys.end() || (row->types & bit(type)) != 0;
}

std::vector<std::string_view> needed_by_registrar(RegistrarType type) {
  std::vector<std::string_view> needed;
  for (const Belongs& row : kKeys) {
    if (row.needed && belongs_to_registrar(type, row.key)) needed.push_back(row.key);
  }
  return needed;
}

std::string registrar_name_fault(std::string_view map, std::string_view name) {
  if (map.ends_with("/requests")) {
    for (const std::string_view verb : {"register", "drain", "status", "deregister", "heartbeat"})
      if (name == verb) return {};
    return "register, drain, status, deregister or heartbeat";
  }
  if (map.ends_with("/secrets")) return is_pool_name(name) ? "" : "name of 1..32 of [A-Za-z0-9_-]";
  const bool token =
      !name.empty() && name.size() <= 100 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") ==
          std::string_view::npos;
  return token ? "" : "name of an HTTP header";
}

void check_registrars(Settings& settings, const std::vector<std::string>& spots, const Sound& sound,
                      const Report& report) {
  auto& all = settings.service.registrars;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto same = std::find_if(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i),
                                   [&](const RegistrarSettings& other) { return other.name == all[i].name; });
    if (same != all.begin() + static_cast<std::ptrdiff_t>(i) && all[i].type != RegistrarType::health)
      report({spots[i] + "/name", "the name " + shown(all[i].name) + ", which another registrar has",
              "a name of its own"});
    if (sound(spots[i]) && sound("/service/listen")) check_one(settings, all[i], spots[i], report);
  }
}

}  // namespace ratchet
