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
  CHECK(hex(fingerprint("POST", "/orders", "{\"id\":1}")) ==
        "2552c65b433d2511bfa94347f480fc6da8d833e6511a41b6365f469cdf2f92b7");
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

TEST_CASE("idempotency: a fingerprint sees method, path and body") {
  const auto one = fingerprint("POST", "/a", "body");
  CHECK(one == fingerprint("POST", "/a", "body"));
  CHECK(one != fingerprint("PUT", "/a", "body"));
  CHECK(one != fingerprint("POST", "/b", "body"));
  CHECK(one != fingerprint("POST", "/a", "bodY"));
  CHECK(one != fingerprint("POST", "/abo", "dy"));
  CHECK(view(one).size() == 32);
}
