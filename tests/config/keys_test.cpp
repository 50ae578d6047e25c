#include "config/keys.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "config/reference.hpp"
#include "tests/config/files.hpp"
#include "tests/config/mini_schema.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using ratchet::test::Json;
using ratchet::test::load_with;
using ratchet::test::mistake_at;

namespace {

std::vector<std::string> steps(std::string_view pointer) {
  std::vector<std::string> out;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    out.emplace_back(pointer.substr(0, pointer.find('/')));
    pointer.remove_prefix(out.back().size());
  }
  return out;
}

// Whether some value of the file stands where a row says; "*": any member or element.
bool appears(const Json& at, const std::vector<std::string>& path, std::size_t i = 0) {
  if (i == path.size()) return true;
  if (path[i] != "*") return at.is_object() && at.contains(path[i]) && appears(at[path[i]], path, i + 1);
  return std::any_of(at.begin(), at.end(), [&](const Json& one) { return appears(one, path, i + 1); });
}

const Json* schema_of(const Json& schema, const std::vector<std::string>& path) {
  const Json* at = &schema;
  for (const std::string& name : path) {
    const Json* next = nullptr;
    if (name != "*") {
      if (at->contains("properties") && (*at)["properties"].contains(name)) next = &(*at)["properties"][name];
    } else if (at->contains("items")) {
      next = &(*at)["items"];
    } else if (at->contains("additionalProperties") && (*at)["additionalProperties"].is_object()) {
      next = &(*at)["additionalProperties"];
    }
    if (next == nullptr) return nullptr;
    at = next;
  }
  return at;
}

void walk(const Json& schema, const std::string& pointer, std::set<std::string>& out) {
  out.insert(pointer);
  if (schema.contains("properties")) {
    for (const auto& [name, inner] : schema["properties"].items())
      walk(inner, pointer + "/" + name, out);
  }
  if (schema.contains("items")) walk(schema["items"], pointer + "/*", out);
  if (schema.contains("additionalProperties") && schema["additionalProperties"].is_object()) {
    walk(schema["additionalProperties"], pointer + "/*", out);
  }
}

// The smallest file, with a registrar that may hold the row's key.
Json around(const Key& key) {
  Json out = ratchet::test::smallest();
  if (key.pointer.find("registrars/*/") == std::string_view::npos) return out;
  const bool http = key.pointer.find("/requests") != std::string_view::npos ||
                    key.pointer.find("/secrets") != std::string_view::npos || leaf(key.pointer) == "ca_file";
  const Json request = {{"url", "http://127.0.0.1:1/"}};
  out["service"]["registrars"][0] =
      http ? Json{{"type", "http"}, {"requests", {{"register", request}, {"deregister", request}}}}
           : Json{{"type", "exec"}, {"argv", {"/bin/true"}}};
  return out;
}
Loaded load_around(const Key& key, const std::string& pointer, const Json& value) {
  Json out = around(key);
  out[Json::json_pointer(pointer)] = value;
  return ratchet::test::load(out);
}

// A place in the smallest file for a row: "/database/pools/*/size" -> "/database/pools/main/size".
std::string somewhere(const Key& key) {
  std::string out;
  std::string above;
  for (const std::string& name : steps(key.pointer)) {
    const std::string real = name != "*"                     ? name
                             : above == "/database/pools"    ? "main"
                             : above == "/broker/properties" ? "client.rack"
                             : above.ends_with("/requests")  ? "register"
                             : above.ends_with("/headers")   ? "X-A"
                             : above.ends_with("/secrets")   ? "x"
                                                             : "0";
    out += "/" + real;
    above += "/" + name;
  }
  return out;
}

bool is_container(const Key& key) {
  return key.shape == Shape::object || key.shape == Shape::map || key.shape == Shape::list;
}

}  // namespace

TEST_CASE("keys: every row is in the schema, and every part of the schema is a row") {
  const Json schema = Json::parse(schema_json());
  std::set<std::string> in_schema;
  walk(schema, "", in_schema);
  std::set<std::string> in_table;
  for (const Key& key : all_keys()) {
    if (key.is(kLater)) {
      CHECK(in_schema.count(std::string(key.pointer)) == 0);
    } else {
      CHECK(in_table.insert(std::string(key.pointer)).second);
    }
  }
  CHECK(in_schema == in_table);
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
}

TEST_CASE("keys: every row is in the full example") {
  const Json example = ratchet::test::full();
  for (const Key& key : all_keys()) {
    CAPTURE(key.pointer);
    CHECK(appears(example, steps(key.pointer)) == !key.is(kLater));
  }
}

TEST_CASE("keys: every row is in the reference, with what may stand there, its default and a text") {
  const std::string reference = reference_text();
  std::string flat;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    if (reference[i] == '\n') {
      flat += ' ';
      while (i + 1 < reference.size() && reference[i + 1] == ' ')
        ++i;
    } else {
      flat += reference[i];
    }
  }
  for (const Key& key : all_keys()) {
    if (key.is(kLater) || key.pointer.empty()) continue;
    CAPTURE(key.pointer);
    REQUIRE_FALSE(key.doc.empty());
    CHECK(flat.find(std::string(leaf(key.pointer) == "*" ? "" : leaf(key.pointer)) + " " + expected(key)) !=
          std::string::npos);
    CHECK(flat.find(std::string(key.doc)) != std::string::npos);
    if (!key.is(kRequired) && !default_text(key).empty())
      CHECK(flat.find("default " + default_text(key)) != std::string::npos);
  }
  CHECK(reference.find("\nservice.listen\n") != std::string::npos);
  CHECK(reference.find("\nroutes[].path\n") != std::string::npos);
  CHECK(reference.find("\ndatabase.pools.NAME.size\n") != std::string::npos);
  for (const OwnedProperty& owned : owned_properties())
    CHECK(reference.find(std::string(owned.name) + ": ") != std::string::npos);
}

TEST_CASE("keys: a default is what a fresh Settings holds, and writing it changes nothing") {
  const Settings fresh = *ratchet::test::load(ratchet::test::smallest()).settings;
  int compared = 0;
  for (const Key& key : all_keys()) {
    if (key.is(kLater) || key.is(kRequired) || is_container(key)) continue;
    CAPTURE(key.pointer);
    CHECK_FALSE((leaf(key.pointer) != "*" && default_text(key).empty()));
    const Json value = Json::parse(default_text(key), nullptr, false);
    if (value.is_discarded()) continue;  // words for people
    Loaded written = load_around(key, somewhere(key), value);
    CAPTURE(to_string(written.mistakes));
    REQUIRE(written.settings);
    Settings& now = *written.settings;
    Settings before = fresh;
    RegistrarSettings registrar, fresh_registrar;
    RequestTemplate request, fresh_request;
    if (!now.service.registrars.empty()) registrar = now.service.registrars.front();
    if (!registrar.requests.empty()) request = registrar.requests["register"];
    const Place a{&now, &now.pools.begin()->second, &now.routes.front(), &registrar, &request};
    const Place b{&before, &before.pools.begin()->second, &before.routes.front(), &fresh_registrar, &fresh_request};
    std::visit(
        [&](const auto& at) {
          if constexpr (requires { *at(a) == *at(b); }) {
            CHECK(*at(a) == *at(b));
            ++compared;
          } else if constexpr (requires { to_string(*at(a)); }) {
            CHECK(to_string(*at(a)) == to_string(*at(b)));
            ++compared;
          }
        },
        key.field);
  }
  CHECK(compared >= 30);
}

TEST_CASE("keys: names of integers carry their unit, and ranges hold the default") {
  for (const Key& key : all_keys()) {
    if (key.shape != Shape::integer) continue;
    CAPTURE(key.pointer);
    CHECK(key.range.least < key.range.most);
    const std::int64_t standard = std::stoll(default_text(key));
    CHECK(standard >= key.range.least);
    CHECK(standard <= key.range.most);
    const bool time =
        std::holds_alternative<FieldOf<milliseconds>>(key.field) || std::holds_alternative<FieldOf<seconds>>(key.field);
    CHECK(time == (unit(key) == "milliseconds" || unit(key) == "seconds"));
    if (std::holds_alternative<FieldOf<milliseconds>>(key.field)) CHECK(unit(key) == "milliseconds");
    if (std::holds_alternative<FieldOf<int>>(key.field)) CHECK(key.range.most <= std::numeric_limits<int>::max());
  }
}

TEST_CASE("keys: the ends of every range are taken, one beyond is refused at its pointer") {
  for (const Key& key : all_keys()) {
    if (key.shape != Shape::integer) continue;
    CAPTURE(key.pointer);
    const std::string at = somewhere(key);
    const auto refused = [&](std::int64_t value) {
      const Loaded loaded = load_around(key, at, value);
      const auto m = mistake_at(loaded, at);
      return m && m->expected == expected(key) && m->found == "integer " + std::to_string(value);
    };
    CHECK_FALSE(refused(key.range.least));
    CHECK_FALSE(refused(key.range.most));
    CHECK(refused(key.range.least - 1));
    CHECK(refused(key.range.most + 1));
  }
}

TEST_CASE("keys: a value of a wrong type is refused at its pointer, by every row") {
  const std::vector<Json> values = {nullptr, true, 7, 2.5, "?", Json::array(), Json::object()};
  const Json schema = Json::parse(schema_json());
  for (const Key& key : all_keys()) {
    if (key.pointer.empty()) continue;
    const std::string at = somewhere(key);
    for (const Json& value : values) {
      CAPTURE(at, value.dump());
      const Loaded loaded = load_around(key, at, value);
      CHECK(loaded.settings.has_value() == loaded.mistakes.empty());
      if (key.is(kLater)) {
        REQUIRE(mistake_at(loaded, at));
        CHECK(mistake_at(loaded, at).value().expected.find("not supported by this version") != std::string::npos);
        continue;
      }
      const Json* rule = schema_of(schema, steps(key.pointer));
      REQUIRE(rule != nullptr);
      if (test::MiniSchema::mismatch(*rule, value).empty()) continue;
      CHECK_FALSE(loaded.settings);
      const bool named = std::any_of(loaded.mistakes.begin(), loaded.mistakes.end(),
                                     [&](const Mistake& m) { return m.pointer.rfind(at, 0) == 0; });
      CHECK(named);
    }
  }
}

TEST_CASE("keys: a property of the daemon's own is refused, with the reason") {
  for (const OwnedProperty& owned : owned_properties()) {
    const std::string at = "/broker/properties/" + std::string(owned.name);
    const Loaded loaded = load_with(at, "1");
    REQUIRE(mistake_at(loaded, at));
    CHECK(mistake_at(loaded, at).value().expected.find(owned.why) != std::string::npos);
  }
}
