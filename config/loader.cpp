#include "config/loader.hpp"

#include <algorithm>
#include <cassert>

#include "config/checks.hpp"
#include "config/describe.hpp"
#include "config/dsn.hpp"
#include "config/keys.hpp"
#include "config/network.hpp"
#include "config/spelling.hpp"
#include "config/syntax.hpp"
#include "config/value_reference.hpp"

namespace ratchet {

namespace {

bool is_secret_kind(std::string_view name) noexcept { return name == "credential" || name == "file" || name == "env"; }

// Stores a value where a row points, whatever the type of the field.
struct Store {
  const Place& place;
  std::int64_t value;

  void operator()(std::monostate) const {}
  void operator()(FieldOf<int> at) const { *at(place) = static_cast<int>(value); }
  void operator()(FieldOf<std::size_t> at) const { *at(place) = static_cast<std::size_t>(value); }
  void operator()(FieldOf<milliseconds> at) const { *at(place) = milliseconds{value}; }
  void operator()(FieldOf<seconds> at) const { *at(place) = seconds{value}; }
  void operator()(FieldOf<bool> at) const { *at(place) = value != 0; }
  void operator()(FieldOf<std::optional<bool>> at) const { *at(place) = value != 0; }
  void operator()(FieldOf<PoolRole> at) const { *at(place) = static_cast<PoolRole>(value); }
  void operator()(FieldOf<std::optional<milliseconds>> at) const { *at(place) = milliseconds{value}; }
  void operator()(FieldOf<OnLoss> at) const { *at(place) = static_cast<OnLoss>(value); }
  void operator()(FieldOf<LogFormat> at) const { *at(place) = static_cast<LogFormat>(value); }
  template <class T>
  void operator()(FieldOf<T>) const {
    assert(false && "a row whose shape and field do not fit");
  }
};

template <class T>
T* field(const Key& key, const Place& place) {
  const auto* at = std::get_if<FieldOf<T>>(&key.field);
  assert(at != nullptr && "a row whose shape and field do not fit");
  return (*at)(place);
}

class Loader {
 public:
  Loader(const JsonValue& root, std::string file) : root_(root), file_(std::move(file)), keys_(all_keys()) {}

  Loaded run(std::string hostname) {
    settings_.instance = std::move(hostname);
    read({root_, keys_.front(), "", {&settings_, nullptr, nullptr}});
    for (EventRoute& route : settings_.routes) {
      if (route.type.empty()) route.type = route.topic;
      if (route.source.empty()) route.source = "/ratchetd" + route.path;
    }
    resolve_pools();
    check_together(
        settings_, [this](std::string_view pointer) { return sound(pointer); },
        [this](CrossMistake m) { mistake(m.pointer, line_of(m.pointer), std::move(m.found), std::move(m.expected)); });
    std::stable_sort(mistakes_.begin(), mistakes_.end(),
                     [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
    Loaded out;
    if (mistakes_.empty()) out.settings = std::move(settings_);
    out.mistakes = std::move(mistakes_);
    out.warnings = std::move(warnings_);
    return out;
  }

 private:
  // One value, the row it belongs to, where it stands, and where it goes.
  struct Spot {
    const JsonValue& value;
    const Key& key;
    std::string pointer;
    Place place;
  };

  // ---- mistakes

  // All of them, but for a file that is nothing but mistakes.
  void mistake(const std::string& pointer, std::size_t line, std::string found, std::string expected,
               std::string did_you_mean = {}) {
    if (full()) return;
    mistakes_.push_back({file_, line, pointer, std::move(found), std::move(expected), std::move(did_you_mean)});
    if (full()) mistakes_.back() = {file_, line, pointer, "more than 1000 mistakes", "fewer", ""};
  }
  bool full() const noexcept { return mistakes_.size() >= 1000; }
  void wrong(const Spot& spot) { wrong(spot, describe(spot.value, spot.key.is(kSecret))); }
  void wrong(const Spot& spot, std::string found, std::string did_you_mean = {}) {
    mistake(spot.pointer, spot.value.line, std::move(found), expected(spot.key), std::move(did_you_mean));
  }
  void warn(std::string id, const std::string& pointer, std::string text) {
    warnings_.push_back({std::move(id), pointer, std::move(text)});
  }
  bool is(const Spot& spot, JsonValue::Type type) {
    if (spot.value.type == type) return true;
    wrong(spot);
    return false;
  }
  bool sound(std::string_view pointer) const {
    return std::none_of(mistakes_.begin(), mistakes_.end(), [&](const Mistake& m) {
      const std::string_view at = m.pointer;
      const bool below = at.starts_with(pointer) && (at.size() == pointer.size() || at[pointer.size()] == '/');
      const bool above = pointer.starts_with(at) && (pointer.size() == at.size() || pointer[at.size()] == '/');
      return below || above;
    });
  }

  // The line of what a pointer names; of something that is not written, that of what it would be in.
  std::size_t line_of(std::string_view pointer) const {
    const JsonValue* at = &root_;
    while (!pointer.empty()) {
      const std::string_view rest = pointer.substr(1);
      const std::string_view part = pointer.substr(0, 1 + rest.substr(0, rest.find('/')).size());
      const JsonValue* next = nullptr;
      for (std::size_t i = 0; i < at->items.size() && next == nullptr; ++i) {
        const bool in_object = at->type == JsonValue::Type::object;
        if (part == (in_object ? pointer_step(at->names[i]) : pointer_step(std::to_string(i)))) next = &at->items[i];
      }
      if (next == nullptr) break;
      at = next;
      pointer.remove_prefix(part.size());
    }
    return at->line;
  }

  // ---- containers

  std::vector<const Key*> children(const Key& key) const {
    std::vector<const Key*> out;
    for (const Key& other : keys_) {
      if (!other.pointer.empty() && parent(other.pointer) == key.pointer) out.push_back(&other);
    }
    return out;
  }
  const Key& element_row(const Key& key) const {
    const std::vector<const Key*> rows = children(key);
    assert(rows.size() == 1 && leaf(rows.front()->pointer) == "*");
    return *rows.front();
  }

  void object(const Spot& spot) {
    if (!is(spot, JsonValue::Type::object)) return;
    const std::vector<const Key*> rows = children(spot.key);
    if (of_a_later_kind(spot, rows)) return;
    for (std::size_t i = 0; i < spot.value.names.size(); ++i) {
      const std::string& name = spot.value.names[i];
      const auto row = std::find_if(rows.begin(), rows.end(), [&](const Key* k) { return leaf(k->pointer) == name; });
      if (row == rows.end()) {
        unknown(spot, i, rows);
      } else {
        read({spot.value.items[i], **row, spot.pointer + pointer_step(name), spot.place});
      }
    }
    for (const Key* row : rows) {
      if (row->is(kRequired) && spot.value.find(leaf(row->pointer)) == nullptr) {
        mistake(spot.pointer + pointer_step(leaf(row->pointer)), spot.value.line, "nothing", expected(*row));
      }
    }
  }

  // A route or registrar of a kind that this version does not have: its other keys would only repeat that.
  bool of_a_later_kind(const Spot& spot, const std::vector<const Key*>& rows) {
    for (const Key* row : rows) {
      if (!row->is(kDecides)) continue;
      const JsonValue* value = spot.value.find(leaf(row->pointer));
      if (value == nullptr || value->type != JsonValue::Type::string) continue;
      const auto& later = row->later_words;
      if (std::find(later.begin(), later.end(), value->text) == later.end()) continue;
      read({*value, *row, spot.pointer + pointer_step(leaf(row->pointer)), spot.place});
      return true;
    }
    return false;
  }

  void unknown(const Spot& spot, std::size_t member, const std::vector<const Key*>& rows) {
    if (full()) return;
    const std::string& name = spot.value.names[member];
    std::vector<std::string_view> names;
    for (const Key* row : rows) {
      if (!row->is(kLater)) names.push_back(leaf(row->pointer));
    }
    std::string near = closest(name, names);
    for (auto key = keys_.begin(); near.empty() && key != keys_.end(); ++key) {
      if (!key->is(kLater) && leaf(key->pointer) == name && name != "*") near = key->pointer;
    }
    std::string known;
    for (const std::string_view other : names)
      known += (known.empty() ? "" : ", ") + std::string(other);
    mistake(spot.pointer + pointer_step(name), spot.value.items[member].line, "unknown key", "one of " + known,
            std::move(near));
  }

  bool has_room(const Spot& spot, std::string_view what) {
    const auto n = static_cast<std::int64_t>(spot.value.items.size());
    if (n >= spot.key.range.least && n <= spot.key.range.most) return true;
    wrong(spot, std::to_string(n) + " " + std::string(what));
    return false;
  }

  void map(const Spot& spot) {
    if (!is(spot, JsonValue::Type::object)) return;
    const Key& row = element_row(spot.key);
    const bool pools = row.shape == Shape::object;
    if (!has_room(spot, pools ? "pools" : "members")) return;
    for (std::size_t i = 0; i < spot.value.names.size(); ++i) {
      const std::string& name = spot.value.names[i];
      Spot member{spot.value.items[i], row, spot.pointer + pointer_step(name), spot.place};
      if (pools) {
        if (!is_pool_name(name))
          mistake(member.pointer, member.value.line, "name " + shown(name), "name of 1..32 of [A-Za-z0-9_-]");
        member.place.pool = &settings_.pools[name];
        member.place.pool->name = name;
        object(member);
      } else {
        property(member, name);
      }
    }
  }

  void list(const Spot& spot) {
    if (!is(spot, JsonValue::Type::array) || !has_room(spot, "elements")) return;
    const Key& row = element_row(spot.key);
    for (std::size_t i = 0; i < spot.value.items.size(); ++i) {
      Spot element{spot.value.items[i], row, spot.pointer + "/" + std::to_string(i), spot.place};
      if (row.shape == Shape::endpoint || row.shape == Shape::network) {
        one_of_a_list(element, *field<std::vector<std::string>>(spot.key, spot.place));
      } else if (row.pointer == "/routes/*") {
        route(element);
      } else {
        object(element);
      }
    }
  }

  void route(Spot& spot) {
    EventRoute one;
    spot.place.route = &one;
    object(spot);
    const bool good = sound(spot.pointer + "/path") && !one.path.empty();
    const auto same = std::find_if(settings_.routes.begin(), settings_.routes.end(),
                                   [&](const EventRoute& other) { return other.path == one.path; });
    if (good && same != settings_.routes.end()) {
      mistake(spot.pointer + "/path", spot.value.find("path")->line,
              "string " + shown(one.path) + ", which another route has", "a path of its own");
    } else if (good) {
      settings_.routes.push_back(std::move(one));
      route_spots_.push_back({spot.value, spot.pointer});
    }
  }

  // ---- pools and who uses them

  void resolve_pools() {
    if (!sound("/database/pools") || settings_.pools.empty()) return;
    const auto primaries = std::count_if(settings_.pools.begin(), settings_.pools.end(),
                                         [](const auto& one) { return one.second.role == PoolRole::primary; });
    std::vector<std::string_view> outboxes;
    bool required = false;
    for (auto& [name, pool] : settings_.pools) {
      const std::string pointer = "/database/pools" + pointer_step(name) + "/outbox";
      const bool replica = pool.role == PoolRole::replica;
      if (replica && pool.is_outbox()) mistake(pointer, line_of(pointer), "true", "false: a replica takes no events");
      if (!replica && !pool.outbox && primaries > 1)
        mistake(pointer, line_of(pointer), "nothing", "true or false: there are several primary pools");
      if (!pool.outbox) pool.outbox = !replica && primaries == 1;
      if (pool.is_outbox()) outboxes.push_back(name);
      required = required || pool.required;
    }
    const std::string pools = "/database/pools";
    if (!required) mistake(pools, line_of(pools), "no required pool", "at least one pool that is `required`");
    if (!sound(pools)) return;
    if (outboxes.empty() && !settings_.routes.empty())
      return mistake(pools, line_of(pools), "no outbox pool",
                     "at least one `outbox`: event routes keep their events there");
    for (std::size_t i = 0; i < settings_.routes.size(); ++i)
      resolve_route(settings_.routes[i], route_spots_[i], outboxes);
  }

  struct RouteSpot {
    const JsonValue& value;
    std::string pointer;
  };

  void resolve_route(EventRoute& route, const RouteSpot& spot, const std::vector<std::string_view>& outboxes) {
    const std::string pointer = spot.pointer + "/pool";
    if (!sound(pointer)) return;
    std::string known;
    for (const std::string_view name : outboxes)
      known += (known.empty() ? "" : ", ") + std::string(name);
    if (route.pools.empty() && outboxes.size() > 1)
      return mistake(pointer, line_of(pointer), "nothing", "one or several of the outbox pools: " + known);
    if (route.pools.empty()) route.pools.emplace_back(outboxes.front());
    const JsonValue* written = spot.value.find("pool");
    for (std::size_t i = 0; i < route.pools.size(); ++i) {
      const std::string& name = route.pools[i];
      if (std::find(outboxes.begin(), outboxes.end(), name) != outboxes.end()) continue;
      const bool listed = written != nullptr && written->type == JsonValue::Type::array;
      const std::string at = listed ? pointer + "/" + std::to_string(i) : pointer;
      const bool there = settings_.pools.count(name) > 0;
      mistake(at, line_of(at),
              (there ? "pool " : "unknown pool ") + shown(name) + (there ? ", which is no outbox" : ""),
              "one of the outbox pools: " + known, closest(name, outboxes));
    }
  }

  void pool_names(const Spot& spot) {
    auto& to = *field<std::vector<std::string>>(spot.key, spot.place);
    if (spot.value.type == JsonValue::Type::string) {
      to = {spot.value.text};
      return;
    }
    if (spot.value.type != JsonValue::Type::array || !has_room(spot, "names")) {
      if (spot.value.type != JsonValue::Type::array) wrong(spot);
      return;
    }
    for (std::size_t i = 0; i < spot.value.items.size(); ++i) {
      const JsonValue& item = spot.value.items[i];
      const std::string pointer = spot.pointer + "/" + std::to_string(i);
      if (item.type != JsonValue::Type::string) {
        mistake(pointer, item.line, describe(item, false), "name of an outbox pool");
      } else if (std::find(to.begin(), to.end(), item.text) != to.end()) {
        mistake(pointer, item.line, "pool " + shown(item.text) + " a second time", "each pool once");
      } else {
        to.push_back(item.text);
      }
    }
  }

  // ---- values

  void read(const Spot& spot) {
    if (spot.key.is(kLater)) return wrong(spot, "key \"" + std::string(leaf(spot.key.pointer)) + "\"");
    switch (spot.key.shape) {
      case Shape::object:
        return object(spot);
      case Shape::map:
        return map(spot);
      case Shape::list:
        return list(spot);
      case Shape::integer:
        return integer(spot);
      case Shape::boolean:
        return boolean(spot);
      case Shape::word:
        return word(spot);
      case Shape::code:
        return code(spot);
      case Shape::wait:
        return wait(spot);
      case Shape::text:
      case Shape::socket_path:
        return text(spot);
      case Shape::dsn:
        return dsn(spot);
      case Shape::secret:
        return secret(spot);
      case Shape::address:
      case Shape::listen:
        return address(spot);
      case Shape::route_path:
        return route_path(spot);
      case Shape::topic:
        return text(spot);
      case Shape::reference:
        return reference(spot);
      case Shape::pool_names:
        return pool_names(spot);
      case Shape::ignored:
        return static_cast<void>(is(spot, JsonValue::Type::string));
      case Shape::property:
      case Shape::endpoint:
      case Shape::network:
        break;
    }
    assert(false && "an element, read with its list or map");
  }

  void store(const Spot& spot, std::int64_t value) { std::visit(Store{spot.place, value}, spot.key.field); }

  bool in_range(const Spot& spot) {
    return spot.value.integer >= spot.key.range.least && spot.value.integer <= spot.key.range.most;
  }

  void integer(const Spot& spot) {
    if (!is(spot, JsonValue::Type::integer)) return;
    if (!in_range(spot)) return wrong(spot);
    store(spot, spot.value.integer);
  }

  void boolean(const Spot& spot) {
    if (!is(spot, JsonValue::Type::boolean)) return;
    store(spot, spot.value.boolean ? 1 : 0);
  }

  void word(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    const auto& words = spot.key.words;
    const auto at = std::find(words.begin(), words.end(), spot.value.text);
    if (at == words.end()) return wrong(spot, describe(spot.value, false), closest(spot.value.text, words));
    store(spot, spot.key.range.least + (at - words.begin()));
  }

  void code(const Spot& spot) {
    if (!is(spot, JsonValue::Type::integer)) return;
    if (spot.value.integer != 503 && spot.value.integer != 404) return wrong(spot);
    store(spot, spot.value.integer);
  }

  void wait(const Spot& spot) {
    if (spot.value.type == JsonValue::Type::string) {
      if (spot.value.text == "auto") return field<std::optional<milliseconds>>(spot.key, spot.place)->reset();
      if (spot.value.text == "none") return store(spot, 0);
      return wrong(spot, describe(spot.value, false), closest(spot.value.text, {"auto", "none"}));
    }
    if (!is(spot, JsonValue::Type::integer)) return;
    if (!in_range(spot)) return wrong(spot);
    store(spot, spot.value.integer);
  }

  void text(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    const std::string& value = spot.value.text;
    const auto size = static_cast<std::int64_t>(value.size());
    bool good = size >= spot.key.range.least && size <= spot.key.range.most;
    if (spot.key.shape == Shape::text) good = good && is_visible(value);
    if (spot.key.shape == Shape::topic) good = good && is_topic(value);
    if (spot.key.shape == Shape::socket_path) good = good && value.starts_with('/');
    // ":header.x" as type or source is a wish for a reference, which only the key may be.
    if (spot.key.shape == Shape::text && value.starts_with(':')) {
      return mistake(spot.pointer, spot.value.line,
                     describe(spot.value, false) + ", a reference, which is not supported here by this version",
                     expected(spot.key));
    }
    if (!good) return wrong(spot);
    *field<std::string>(spot.key, spot.place) = value;
  }

  void route_path(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    const std::string fault = route_path_fault(spot.value.text, static_cast<std::size_t>(spot.key.range.most));
    if (!fault.empty()) return wrong(spot, describe(spot.value, false) + ", " + fault);
    *field<std::string>(spot.key, spot.place) = spot.value.text;
  }

  void address(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    const auto parsed =
        spot.key.shape == Shape::listen ? parse_listen(spot.value.text) : parse_address(spot.value.text);
    if (!parsed) return wrong(spot);
    *field<ListenAddress>(spot.key, spot.place) = *parsed;
  }

  void one_of_a_list(const Spot& spot, std::vector<std::string>& to) {
    if (!is(spot, JsonValue::Type::string)) return;
    const std::string& text = spot.value.text;
    if (spot.key.shape == Shape::network ? !parse_network(text) : !is_endpoint(text)) return wrong(spot);
    to.push_back(text);
  }

  void reference(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    ParsedReference parsed = parse_reference(spot.value.text);
    if (!parsed.error.empty()) {
      return wrong(spot, describe(spot.value, false) + ", " + parsed.error, std::move(parsed.did_you_mean));
    }
    // A constant that reads like a reference would put all events into one partition, silently.
    if (parsed.reference.from == Reference::From::literal && looks_like_a_reference(spot.value.text)) {
      return wrong(spot, describe(spot.value, false) + ", a constant that looks like a reference",
                   ":" + spot.value.text);
    }
    *field<std::optional<Reference>>(spot.key, spot.place) = std::move(parsed.reference);
  }

  static bool looks_like_a_reference(std::string_view text) {
    return text.starts_with("body.") || text.starts_with("header.") || text.starts_with("query.");
  }

  // ---- secrets

  void inline_secret(const std::string& pointer) {
    warn("secret.inline", pointer,
         "a secret stands in the file itself; name it: {\"credential\"|\"file\"|\"env\": ...}");
  }

  // {"credential"|"file"|"env": "..."}; empty: a mistake, told.
  std::optional<Secret> named_secret(const Spot& spot) {
    const JsonValue& value = spot.value;
    if (value.names.size() != 1 || !is_secret_kind(value.names.front())) {
      const bool one = value.names.size() == 1;
      wrong(spot,
            one ? "object with " + shown(value.names.front())
                : "object with " + std::to_string(value.names.size()) + " members",
            one ? closest(value.names.front(), {"credential", "file", "env"}) : "");
      return std::nullopt;
    }
    const std::string& kind = value.names.front();
    const JsonValue& source = value.items.front();
    const std::string pointer = spot.pointer + pointer_step(kind);
    if (source.type != JsonValue::Type::string) {
      mistake(pointer, source.line, describe(source, true), "string");
      return std::nullopt;
    }
    const std::string& text = source.text;
    if (kind == "file") {
      if (text.starts_with('/') && text.find('\0') == std::string::npos) return Secret(Secret::Kind::file, text);
      mistake(pointer, source.line, describe(source, false), "absolute path");
    } else if (kind == "env") {
      if (is_variable_name(text)) return Secret(Secret::Kind::env, text);
      mistake(pointer, source.line, describe(source, false), "name of an environment variable");
    } else {
      if (is_visible(text) && !text.empty() && text.find('/') == std::string::npos && text != "." && text != "..") {
        return Secret(Secret::Kind::credential, text);
      }
      mistake(pointer, source.line, describe(source, false), "name of a systemd credential, without '/'");
    }
    return std::nullopt;
  }

  void secret(const Spot& spot) {
    auto& to = *field<std::optional<Secret>>(spot.key, spot.place);
    if (to)
      return mistake(spot.pointer, spot.value.line, "a second password (one stands in the DSN)",
                     "one password: here, not in the DSN");
    if (spot.value.type == JsonValue::Type::object) {
      to = named_secret(spot);
    } else if (is(spot, JsonValue::Type::string)) {
      if (spot.value.text.empty()) return wrong(spot, "an empty string");
      if (spot.value.text.find('\0') != std::string::npos) return wrong(spot, "a string with a NUL byte");
      to = Secret(Secret::Kind::inline_text, spot.value.text);
      inline_secret(spot.pointer);
    }
  }

  void dsn(const Spot& spot) {
    if (!is(spot, JsonValue::Type::string)) return;
    if (spot.value.text.find('\0') != std::string::npos) return wrong(spot, "a string with a NUL byte");
    SplitDsn split = split_dsn(spot.value.text);
    if (!split.error.empty()) return wrong(spot, split.error);
    if (split.rest.empty()) return wrong(spot, "a string that names no server");
    if (split.password || split.key_password) inline_secret(spot.pointer);
    if (split.password) {
      assert(spot.place.pool != nullptr);  // the key stands in a pool
      if (spot.place.pool->password) {
        return mistake(spot.pointer, spot.value.line, "a second password (one stands in `password`)",
                       "one password: there, not in the DSN");
      }
      spot.place.pool->password = Secret(Secret::Kind::inline_text, *split.password);
    }
    *field<std::string>(spot.key, spot.place) = std::move(split.rest);
  }

  void property(const Spot& spot, const std::string& name) {
    for (const OwnedProperty& owned : owned_properties()) {
      if (owned.name == name)
        return mistake(spot.pointer, spot.value.line, "a property of the daemon's own",
                       "no such property: " + std::string(owned.why));
    }
    if (!is_property_name(name))
      return mistake(spot.pointer, spot.value.line, "name " + shown(name), "a librdkafka property ([a-z0-9._])");
    BrokerSettings& to = settings_.broker;
    if (spot.value.type == JsonValue::Type::object) {
      if (auto named = named_secret(spot)) to.secret_properties.insert_or_assign(name, *std::move(named));
      return;
    }
    if (spot.value.type != JsonValue::Type::string) {
      const bool scalar = spot.value.type == JsonValue::Type::integer || spot.value.type == JsonValue::Type::boolean;
      const std::string text = describe(spot.value, false);
      return wrong(spot, text, scalar ? "\"" + text.substr(text.find(' ') + 1) + "\"" : "");
    }
    if (spot.value.text.find('\0') != std::string::npos) return wrong(spot, "a string with a NUL byte");
    if (!names_a_secret(name)) {
      to.properties.insert_or_assign(name, spot.value.text);
      return;
    }
    to.secret_properties.insert_or_assign(name, Secret(Secret::Kind::inline_text, spot.value.text));
    inline_secret(spot.pointer);
  }

  const JsonValue& root_;
  std::string file_;
  std::vector<Key> keys_;
  Settings settings_;
  std::vector<RouteSpot> route_spots_;  // of settings_.routes, one each
  std::vector<Mistake> mistakes_;
  std::vector<ConfigWarning> warnings_;
};

}  // namespace

Loaded read_settings(const JsonValue& root, std::string file, std::string hostname) {
  return Loader(root, std::move(file)).run(std::move(hostname));
}

}  // namespace ratchet
