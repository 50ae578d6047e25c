#include "levels/3_service/json_names.hpp"

#include <bit>
#include <set>

#include "levels/3_service/json_scan.hpp"
#include "tests/support/catch.hpp"

namespace {

using namespace ratchet;
using namespace ratchet::service;

// Names that a sender who knows the key would send: the same place for all of them, in the largest table they need.
std::vector<std::string> colliding(const HashKey& key, std::size_t count) {
  std::vector<std::string> names;
  const std::uint64_t mask = std::bit_ceil(count * 2) * 2 - 1;
  for (std::uint64_t i = 0; names.size() < count; i++) {
    std::string name = "n" + std::to_string(i);
    if ((sip_hash(1, name, key) & mask) == 0) names.push_back(std::move(name));
  }
  return names;
}

// All of them as one object.
struct OneObject {
  explicit OneObject(const HashKey& key) : names(key) {}
  void hold(const std::vector<std::string>& all) {
    for (const auto& name : all)
      text += name;
    names.start(text);
    object = names.open();
    std::uint32_t at = 0;
    for (const auto& name : all) {
      list.push_back({name.size(), at, static_cast<std::uint32_t>(name.size())});
      at += static_cast<std::uint32_t>(name.size());
    }
  }
  std::string text;
  JsonNames names;
  JsonNames::Object object{};
  std::vector<JsonNames::Name> list;
};

}  // namespace

TEST_CASE("json_names: names that all hash alike cost n log n looks at worst, and are told apart") {
  const HashKey key{0x0123456789abcdef, 0xfedcba9876543210};
  for (const std::size_t count : {500u, 1000u, 2000u}) {
    OneObject one(key);
    one.hold(colliding(key, count));
    for (const auto& name : one.list)
      REQUIRE(one.names.add(one.object, name));
    // A chain would have cost count²/2: 2,000,000 for the last. In the tree a name costs two looks a step.
    const auto log = static_cast<std::uint64_t>(std::bit_width(count));
    CHECK(one.names.looks() <= count * (JsonNames::kLongestRun + 4 * log));
    for (const std::size_t again : {std::size_t{0}, JsonNames::kLinear, count / 2, count - 1})
      CHECK_FALSE(one.names.add(one.object, one.list[again]));
    one.names.close(one.object);
  }
}

TEST_CASE("json_names: names that do not hash alike cost a few looks each") {
  std::vector<std::string> names;
  for (int i = 0; i < 20'000; i++)
    names.push_back("name-" + std::to_string(i));
  OneObject one({1, 2});
  one.hold(names);
  for (const auto& name : one.list)
    REQUIRE(one.names.add(one.object, name));
  CHECK(one.names.looks() < 20'000 * 8);  // growing included
  CHECK_FALSE(one.names.add(one.object, one.list[19'999]));
}

TEST_CASE("json_names: with another key the same names lie apart") {
  const HashKey known{7, 9};
  std::set<std::uint64_t> places;
  for (const auto& name : colliding(known, 200))
    places.insert(sip_hash(1, name, {7, 10}) & 0x3ff);
  CHECK(places.size() > 100);
}

TEST_CASE("json_names: a text whose names collide is read like any other, and leaves nothing behind") {
  const HashKey key{3, 4};
  JsonScanner scanner(key);
  const auto names = colliding(key, 1000);
  std::string text = "{";
  for (const auto& name : names)
    text += "\"" + name + "\":{\"" + name + "\":1},";
  for (int round = 0; round < 2; round++) {
    CHECK(scanner.scan(text + "\"x\":1}", {"x"}).value == "1");
    const auto& twice = scanner.scan(text + "\"" + names.back() + "\":1}", {});
    CHECK(twice.error == "duplicate key");
    CHECK(twice.error_at == text.size());
  }
  CHECK(scanner.scan(R"({"a":1})", {"a"}).value == "1");
}
