// What holds for any file and any text, tried with thousands of them.
#include <rapidcheck.h>

#include <cstdlib>
#include <functional>

#include "config/dsn.hpp"
#include "config/reference.hpp"
#include "config/secret.hpp"
#include "tests/config/files.hpp"
#include "tests/config/mini_schema.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using ratchet::test::Json;

namespace {

std::string mutated_bytes(std::string text) {
  const int changes = *rc::gen::inRange(1, 6);
  for (int i = 0; i < changes && !text.empty(); ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto length = std::min(*rc::gen::inRange<std::size_t>(1, 40), text.size() - at);
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, text.substr(at, length));
        break;
      case 2:
        text[at] = *rc::gen::arbitrary<char>();
        break;
      case 3:
        text.insert(at, *rc::gen::element<std::string>("\"", "{", "[", "}", "]", ",", ":", "0", "-", "1e9", "null",
                                                       "\\", "\xff"));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

Json any_value() {
  static const std::vector<Json> values = {nullptr,
                                           true,
                                           false,
                                           0,
                                           1,
                                           -1,
                                           3,
                                           8080,
                                           503,
                                           4'294'967'299,
                                           INT64_MAX,
                                           INT64_MIN,
                                           0.5,
                                           "",
                                           "x",
                                           "/",
                                           "/x",
                                           "auto",
                                           "none",
                                           "127.0.0.1:8080",
                                           "127.0.0.1:8081",
                                           "[::1]:1",
                                           "host=a",
                                           "postgres://u:p@h/db",
                                           ":body.a",
                                           ":row",
                                           "event",
                                           "query",
                                           "info",
                                           "fall",
                                           "ride",
                                           "primary",
                                           "a b",
                                           std::string(600, 'x'),
                                           Json::array(),
                                           Json::object(),
                                           {{"file", "/x"}},
                                           {{"env", "A"}},
                                           {{"env", ""}},
                                           {"a", "b"},
                                           Json::array({nullptr})};
  return *rc::gen::elementOf(values);
}

void collect(const Json& at, const std::string& pointer, std::vector<std::string>& out) {
  out.push_back(pointer);
  if (at.is_object()) {
    for (const auto& [name, inner] : at.items())
      collect(inner, (Json::json_pointer(pointer) / name).to_string(), out);
  } else if (at.is_array()) {
    for (std::size_t i = 0; i < at.size(); ++i)
      collect(at[i], pointer + "/" + std::to_string(i), out);
  }
}

Json mutated_tree() {
  Json json = *rc::gen::element(test::full(), test::smallest());
  const int changes = *rc::gen::inRange(0, 5);
  for (int i = 0; i < changes; ++i) {
    std::vector<std::string> pointers;
    collect(json, "", pointers);
    Json& at = json[Json::json_pointer(*rc::gen::elementOf(pointers))];
    const int what = *rc::gen::inRange(0, 4);
    if (what == 0 && at.is_object() && !at.empty()) {
      const auto index = *rc::gen::inRange<std::size_t>(0, at.size());
      at.erase(std::next(at.begin(), static_cast<std::ptrdiff_t>(index)));
    } else if (what == 1 && at.is_object()) {
      at[*rc::gen::element<std::string>("x", "size", "key", "auth", "listen", "a/b", "~", "kind")] = any_value();
    } else if (what == 2 && at.is_array()) {
      at.push_back(at.empty() ? any_value() : Json(at[0]));
    } else {
      at = any_value();
    }
  }
  return json;
}

void either_or(const Loaded& loaded) {
  RC_ASSERT(loaded.settings.has_value() == loaded.mistakes.empty());
  for (const Mistake& m : loaded.mistakes) {
    RC_ASSERT(!m.found.empty());
    RC_ASSERT(!m.expected.empty());
    RC_ASSERT(m.pointer.empty() || m.pointer.front() == '/');
    RC_ASSERT(m.line >= 1U);
  }
}

// What any caller may rely on in good settings.
void sensible(const Settings& s) {
  bool required = false;
  for (const auto& [name, pool] : s.pools) {
    RC_ASSERT(!pool.dsn.empty());
    RC_ASSERT(pool.outbox.has_value());
    RC_ASSERT(!pool.is_outbox() || pool.role == PoolRole::primary);
    RC_ASSERT(!pool.is_outbox() || pool.size >= s.outbox.committers + 2);
    required = required || pool.required;
  }
  RC_ASSERT(required);
  RC_ASSERT(!s.broker.bootstrap.empty());
  RC_ASSERT(!s.routes.empty());
  RC_ASSERT(!s.instance.empty());
  RC_ASSERT(s.service.drain.total >= s.service.drain.late + s.service.drain.requests + s.service.drain.flush);
  for (const EventRoute& route : s.routes) {
    RC_ASSERT(route.path.front() == '/');
    RC_ASSERT(!route.topic.empty());
    RC_ASSERT(!route.type.empty());
    RC_ASSERT(!route.source.empty());
    RC_ASSERT(!route.pools.empty());
    for (const auto& pool : route.pools)
      RC_ASSERT(s.pools.at(pool).is_outbox());
  }
}

void property(const char* name, const std::function<void()>& body) {
  ::setenv("RC_PARAMS", "max_success=1000", 0);  // unless somebody asks for more
  CHECK(rc::check(name, body));
}

}  // namespace

TEST_CASE("properties: any mutation of the bytes gives settings or mistakes, never a crash") {
  const std::string text = test::shipped("ratchetd.json");
  property("bytes", [&] {
    const Loaded loaded = load(mutated_bytes(text), "f", "h");
    either_or(loaded);
    if (loaded.settings) sensible(*loaded.settings);
  });
}

TEST_CASE("properties: any mutation of the tree gives settings or mistakes, and what is taken fits the schema") {
  const Json schema = Json::parse(schema_json());
  property("tree", [&] {
    const Json json = mutated_tree();
    const Loaded loaded = test::load(json);
    either_or(loaded);
    if (!loaded.settings) return;
    sensible(*loaded.settings);
    const std::string mismatch = test::MiniSchema::mismatch(schema, json);
    if (!mismatch.empty()) RC_FAIL(mismatch + " in " + json.dump());
  });
}

TEST_CASE("properties: what the schema refuses the loader refuses, for any one changed value") {
  const Json schema = Json::parse(schema_json());
  property("one value", [&] {
    Json json = test::full();
    std::vector<std::string> pointers;
    collect(json, "", pointers);
    json[Json::json_pointer(*rc::gen::elementOf(pointers))] = any_value();
    const Loaded loaded = test::load(json);
    const bool fits = test::MiniSchema::mismatch(schema, json).empty();
    if (!fits) RC_ASSERT(!loaded.settings);
    RC_CLASSIFY(fits && !loaded.settings, "only the loader refuses");
    RC_CLASSIFY(fits && loaded.settings, "both take it");
  });
}

TEST_CASE("properties: redact hides any password in any form, whatever stands around it") {
  property("redact", [] {
    const std::string secret = "S3" +
                               *rc::gen::container<std::string>(
                                   rc::gen::oneOf(rc::gen::inRange('a', 'z'), rc::gen::inRange('0', '9'),
                                                  rc::gen::elementOf(std::string("/?#&=:@,;()<>[]{}!$%^*~`|+-_.")))) +
                               "7Q";
    const auto noise = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab =:'\"@/\\{}[],&?\n.")));
    std::string quoted;  // as conninfo's quotes want it
    for (const char c : secret)
      quoted += (c == '\'' || c == '\\') ? std::string("\\") + c : std::string(1, c);
    const std::string json = Json(secret).dump();
    const std::string json_twice = Json(json).dump();
    const std::string form = *rc::gen::element<std::string>(
        "host=h password=" + secret + " user=u", "password = '" + quoted + "' user=u",
        "postgresql://u:" + secret + "@h/db", "{\"sasl.password\": " + json + "}",
        "{\\\"password\\\": " + json_twice.substr(1, json_twice.size() - 2) + "}", "passphrase: " + secret);
    const std::string out = redact(form);
    if (out.find(secret) != std::string::npos || out.find(secret.substr(0, 3)) != std::string::npos ||
        out.find(secret.substr(secret.size() - 3)) != std::string::npos) {
      RC_FAIL(form + " -> " + out);
    }
    redact(noise);
    redact(noise + form + noise);
  });
}

TEST_CASE("properties: the password comes out of a DSN as it went in") {
  property("conninfo", [] {
    const auto secret = *rc::gen::container<std::string>(rc::gen::inRange(' ', '~'));
    std::string quoted;
    for (const char c : secret)
      quoted += (c == '\'' || c == '\\') ? std::string("\\") + c : std::string(1, c);
    const SplitDsn split = split_dsn("host=h password='" + quoted + "' user=u");
    RC_ASSERT(split.error.empty());
    RC_ASSERT(split.password.value() == secret);
    RC_ASSERT(split.rest == "host=h user=u");
  });
  property("uri", [] {
    const auto secret = *rc::gen::container<std::string>(rc::gen::inRange(' ', '~'));
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string escaped;
    for (const char c : secret) {
      escaped += '%';
      escaped += digits[static_cast<unsigned char>(c) >> 4U];
      escaped += digits[static_cast<unsigned char>(c) & 15U];
    }
    const SplitDsn split = split_dsn("postgresql://u:" + escaped + "@h/db?a=b");
    RC_ASSERT(split.error.empty());
    RC_ASSERT(split.password.value() == secret);
    RC_ASSERT(split.rest == "postgresql://u@h/db?a=b");
  });
  property("any text", [] {
    const auto text = *rc::gen::arbitrary<std::string>();
    split_dsn(text);
    redact(text);
  });
}
