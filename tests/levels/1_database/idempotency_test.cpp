#include "levels/1_database/idempotency.hpp"

#include <set>
#include <string>

#include "tests/support/catch.hpp"

using namespace ratchet::db;

namespace {

template <class Bytes>
std::string hex(const Bytes& bytes) {
  std::string text;
  for (const auto byte : bytes) {
    text += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

}  // namespace

TEST_CASE("idempotency: the same parts give the same id, for ever") {
  // Stored for a day by running fleets: a new version must not compute other ones.
  CHECK(hex(idempotency_id("/orders", "alice", "k-1")) == "9e39e83e8dfbbba50cc2ffe6222e7772");
  CHECK(hex(idempotency_id("/orders", "alice", "/shop", "17")) == "2b4e53cdd9cf89faa12aabc371e3530c");
  Content content{"POST", "/orders", "orders", "c-1", "{\"id\":1}", "order.placed", "application/json", {}};
  CHECK(hex(fingerprint(content)) == "01c05597f89a3154abd82024d5ea207b3d099d9177c1089cfc56ef091f2f884b");
  const Content::Attribute subject[] = {{"subject", "1"}};
  content.attributes = subject;
  content.key.reset();
  CHECK(hex(fingerprint(content)) == "0184b40b0aafe936d3ffba6c71ff147a3044d054dd82dc7790a59a2e7f67f921");
}

TEST_CASE("idempotency: no two lists of parts are framed alike") {
  std::set<Uuid> ids;
  const std::string zero(1, '\0'), eight(8, '\0');
  const std::string parts[] = {"", "a", "ab", "b", zero, eight, "a" + eight};
  std::size_t made = 0;
  for (const auto& a : parts) {
    for (const auto& b : parts) {
      for (const auto& c : parts) {
        ids.insert(idempotency_id(a, b, c));
        ++made;
        for (const auto& d : parts) {
          ids.insert(idempotency_id(a, b, c, d));
          ++made;
        }
      }
    }
  }
  CHECK(ids.size() == made);
}

TEST_CASE("idempotency: a fingerprint sees each part of the content, and where one ends") {
  using Attribute = Content::Attribute;
  std::set<std::string> seen;
  std::size_t made = 0;
  const auto differs = [&](const Content& content) {
    seen.insert(hex(fingerprint(content)));
    CHECK(seen.size() == ++made);
  };
  const Attribute one[] = {{"a", "1"}}, two[] = {{"a", "1"}, {"b", ""}}, other[] = {{"a1", ""}},
                  longer[] = {{"a", "1b"}};
  const Content plain{"POST", "/a", "t", "k", "body", "type", "application/json", one};
  differs(plain);
  const auto with = [&](auto change) {
    Content content = plain;
    change(content);
    differs(content);
  };
  with([](Content& c) { c.method = "PUT"; });
  with([](Content& c) { c.path = "/b"; });
  with([](Content& c) { c.topic = "u"; });
  with([](Content& c) { c.key = "l"; });
  with([](Content& c) { c.key = ""; });
  with([](Content& c) { c.key.reset(); });
  with([](Content& c) { c.body = "bodY"; });
  with([](Content& c) { c.type = "other"; });
  with([](Content& c) { c.type = ""; });
  with([](Content& c) { c.type.reset(); });
  with([](Content& c) { c.content_type = "text/plain"; });
  with([](Content& c) { c.content_type.reset(); });
  with([&](Content& c) { c.attributes = two; });
  with([&](Content& c) { c.attributes = other; });
  with([&](Content& c) { c.attributes = longer; });
  with([&](Content& c) { c.attributes = {}; });
  // The same bytes, cut elsewhere.
  with([](Content& c) { c.path = "/at", c.topic = ""; });
  with([](Content& c) { c.topic = "tk", c.key = ""; });
  with([](Content& c) { c.key = "kb", c.body = "ody"; });
  with([](Content& c) { c.type = "typeapplication", c.content_type = "/json"; });
  CHECK(fingerprint(plain) == fingerprint(Content(plain)));
}

TEST_CASE("idempotency: a fingerprint begins with its version, and is compared with its own only") {
  const auto ours = fingerprint({"POST", "/a", "t", "k", "body", "type", "application/json", {}});
  const auto others = fingerprint({"POST", "/a", "t", "l", "body", "type", "application/json", {}});
  CHECK(view(ours).size() == 32);
  CHECK(ours[0] == 1);
  CHECK(says_the_same(view(ours), view(ours)));
  CHECK_FALSE(says_the_same(view(others), view(ours)));
  auto later = others;
  later[0] = 2;
  CHECK(says_the_same(view(later), view(ours)));
}
