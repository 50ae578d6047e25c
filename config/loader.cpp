#include "config/loader.hpp"

#include <algorithm>
#include <cassert>

#include "config/checks.hpp"
#include "config/describe.hpp"
#include "config/dsn.hpp"
#include "config/element.hpp"
#include "config/field.hpp"
#include "config/pool_users.hpp"
#include "config/registrar_keys.hpp"
#include "config/spelling.hpp"
#include "config/syntax.hpp"
#include "config/value_reference.hpp"

namespace ratchet {

namespace {

bool is_secret_kind(std::string_view name) noexcept { return name == "credential" || name == "file" || name == "env"; }

class Loader {
 public:
  Loader(const JsonValue& root, std::string file) : root_(root), file_(std::move(file)), keys_(all_keys()) {}

  Loaded run(std::string hostname) {
    settings_.instance = std::move(hostname);
    read({root_, keys_.front(), "", {&settings_}});
    for (EventRoute& route : settings_.routes) {
      if (route.type.empty()) route.type = route.topic;
      if (route.source.empty()) route.source = "/ratchetd" + route.path;
    }
    const auto is_sound = [this](std::string_view pointer) { return sound(pointer); };
    const auto report = [this](CrossMistake m) {
      mistake(m.pointer, line_of(m.pointer), std::move(m.found), std::move(m.expected), std::move(m.did_you_mean));
    };
    resolve_pools(settings_, route_spots_, is_sound, report);
    check_registrars(settings_, registrar_spots_, is_sound, report);
    check_together(settings_, is_sound, report);
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
    const bool pools = row.pointer == "/database/pools/*";
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
      } else if (row.shape == Shape::property) {
        property(member, name);
      } else {
        registrar_member(member, spot, name);
      }
    }
  }

  void list(const Spot& spot) {
    if (!is(spot, JsonValue::Type::array) || !has_room(spot, "elements")) return;
    if (may_be_absent(spot.key)) texts(spot.key, spot.place);
    const Key& row = element_row(spot.key);
    for (std::size_t i = 0; i < spot.value.items.size(); ++i) {
      Spot element{spot.value.items[i], row, spot.pointer + "/" + std::to_string(i), spot.place};
      if (row.pointer == "/routes/*") {
        route(element);
      } else if (row.pointer == "/service/registrars/*") {
        registrar(element);
      } else if (row.shape == Shape::status_code) {
        status_code(element, *field<std::vector<int>>(spot.key, spot.place));
      } else {
        string_element(element, texts(spot.key, spot.place));
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
      const JsonValue* pool = spot.value.find("pool");
      route_spots_.push_back({spot.pointer, pool != nullptr && pool->type == JsonValue::Type::array});
    }
  }

  // ---- registrars

  void registrar(Spot& spot) {
    RegistrarSettings one;
    spot.place.registrar = &one;
    object(spot);
    if (!sound(spot.pointer + "/type") || spot.value.type != JsonValue::Type::object) return;
    const auto type = spot.value.find("type")->text;
    for (const std::string& name : spot.value.names) {
      if (!belongs_to_registrar(one.type, name) && sound(spot.pointer + pointer_step(name)))
        mistake(spot.pointer + pointer_step(name), spot.value.find(name)->line, "key " + shown(name),
                "no such key with the type " + shown(type));
    }
    for (const std::string_view name : needed_by_registrar(one.type)) {
      if (spot.value.find(name) == nullptr)
        mistake(spot.pointer + pointer_step(name), spot.value.line, "nothing",
                "it: the type " + shown(type) + " needs it");
    }
    if (one.name.empty()) one.name = type;
    settings_.service.registrars.push_back(std::move(one));
    registrar_spots_.push_back(spot.pointer);
  }

  // A member of its maps: a request by its verb, a header, a secret.
  void registrar_member(Spot& member, const Spot& map, const std::string& name) {
    if (const std::string why = registrar_name_fault(map.key.pointer, name); !why.empty())
      return mistake(member.pointer, member.value.line, "name " + shown(name), why);
    if (member.key.shape == Shape::object) {
      member.place.request = &member.place.registrar->requests[name];
      object(member);
    } else if (member.key.shape == Shape::secret) {
      std::optional<Secret> one;
      secret(member, one);
      if (one) field<std::map<std::string, Secret>>(map.key, map.place)->insert_or_assign(name, *one);
    } else {
      phrase(member, (*field<std::map<std::string, std::string>>(map.key, map.place))[name]);
    }
  }

  void phrase(const Spot& spot, std::string& to) {
    if (!is(spot, JsonValue::Type::string)) return;
    const std::string& text = spot.value.text;
    const bool one_line = !spot.key.pointer.ends_with("/body");
    const bool broken = text.find_first_of(std::string_view("\r\n\0", one_line ? 3 : 0)) != std::string::npos;
    if (broken || !in_range(spot, text.size())) return wrong(spot);
    to = text;
  }

  void status_code(const Spot& spot, std::vector<int>& to) {
    if (!is(spot, JsonValue::Type::integer)) return;
    if (spot.value.integer < 100 || spot.value.integer > 599) return wrong(spot);
    to.push_back(static_cast<int>(spot.value.integer));
  }

  // ---- lists of texts

  void string_element(const Spot& spot, std::vector<std::string>& to) {
    if (!is(spot, JsonValue::Type::string)) return;
    const std::string& text = spot.value.text;
    if (!is_element(spot.key, text)) return wrong(spot);
    to.push_back(text);
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
        return secret(spot, *field<std::optional<Secret>>(spot.key, spot.place));
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
      case Shape::phrase:
        return phrase(spot, *field<std::string>(spot.key, spot.place));
      case Shape::property:
      case Shape::endpoint:
      case Shape::network:
      case Shape::argument:
      case Shape::attribute:
      case Shape::status_code:
      case Shape::control_point:
        break;
    }
    assert(false && "an element, read with its list or map");
  }

  void store(const Spot& spot, std::int64_t value) { std::visit(Store{spot.place, value}, spot.key.field); }

  bool in_range(const Spot& spot) { return in_range(spot, spot.value.integer); }
  template <class Number>
  bool in_range(const Spot& spot, Number number) {
    const auto n = static_cast<std::int64_t>(number);
    return n >= spot.key.range.least && n <= spot.key.range.most;
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
    if (const auto* at = std::get_if<FieldOf<std::optional<ListenAddress>>>(&spot.key.field)) {
      *(*at)(spot.place) = *parsed;
    } else {
      *field<ListenAddress>(spot.key, spot.place) = *parsed;
    }
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

  void secret(const Spot& spot, std::optional<Secret>& to) {
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
  std::vector<RouteSpot> route_spots_;        // of settings_.routes, one each
  std::vector<std::string> registrar_spots_;  // of settings_.service.registrars
  std::vector<Mistake> mistakes_;
  std::vector<ConfigWarning> warnings_;
};

}  // namespace

Loaded read_settings(const JsonValue& root, std::string file, std::string hostname) {
  return Loader(root, std::move(file)).run(std::move(hostname));
}

}  // namespace ratchet
