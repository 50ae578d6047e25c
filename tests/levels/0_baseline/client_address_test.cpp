// Whose word on the client's address is believed, and how far.
#include "levels/0_baseline/client_address.hpp"

#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::http;

namespace {

const TrustedProxies kTrusted({"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "unix:"});

std::string client(const std::string& headers) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
  const auto head = std::make_unique<Head>();
  Refusal refusal;
  REQUIRE(scan(request, {}, *head, refusal) == Scan::complete);
  return std::string(kTrusted.client(*head).view());
}
std::string of_list(const std::string& list) { return client("X-Forwarded-For: " + list + "\r\n"); }
std::string of_forwarded(const std::string& list) { return client("Forwarded: " + list + "\r\n"); }

}  // namespace

TEST_CASE("trusted proxies: networks, addresses, the unix socket") {
  for (const char* peer : {"10.0.0.1", "10.255.255.255", "192.0.2.7", "2001:db8::1", "::ffff:10.1.1.1", ""}) {
    CAPTURE(peer);
    CHECK(kTrusted.trusts(peer));
  }
  for (const char* peer : {"11.0.0.1", "192.0.2.6", "2001:db9::1", "::1", "nonsense"}) {
    CAPTURE(peer);
    CHECK_FALSE(kTrusted.trusts(peer));
  }
  CHECK(TrustedProxies().none());
  CHECK_FALSE(TrustedProxies().trusts(""));
  CHECK_FALSE(TrustedProxies({"::/0"}).trusts("1.2.3.4"));
  CHECK(TrustedProxies({"0.0.0.0/0"}).trusts("1.2.3.4"));
}

TEST_CASE("client address: the last one that is no proxy of ours") {
  CHECK(of_list("203.0.113.5") == "203.0.113.5");
  CHECK(of_list("6.6.6.6, 203.0.113.5") == "203.0.113.5");
  CHECK(of_list("6.6.6.6,203.0.113.5, 10.1.1.1 ,\t10.2.2.2") == "203.0.113.5");
  CHECK(of_list("203.0.113.5:4711") == "203.0.113.5");
  CHECK(of_list("2a00::5") == "2a00::5");
  CHECK(of_list("[2a00::5]:80") == "2a00::5");
  CHECK(of_list("::ffff:203.0.113.5") == "203.0.113.5");
  CHECK(of_list("10.1.1.1, 10.2.2.2") == "10.1.1.1");
  CHECK(
      client(
          "X-Forwarded-For: 6.6.6.6\r\nX-Other: 1\r\nx-forwarded-for: 203.0.113.5\r\nX-FORWARDED-FOR: 10.1.1.1\r\n") ==
      "203.0.113.5");
}

TEST_CASE("client address: what is no address ends the way back") {
  CHECK(of_list("").empty());
  CHECK(of_list("unknown").empty());
  CHECK(of_list("203.0.113.5, unknown").empty());
  CHECK(of_list("203.0.113.5, unknown, 10.1.1.1") == "10.1.1.1");
  CHECK(of_list("203.0.113.5,").empty());
  CHECK(of_list("1.2.3").empty());
  CHECK(of_list("[::1").empty());
  CHECK(of_list("[::1]x").empty());
  CHECK(client("").empty());
}

TEST_CASE("client address: Forwarded says the same in its own words") {
  CHECK(of_forwarded("for=203.0.113.5") == "203.0.113.5");
  CHECK(of_forwarded("for=6.6.6.6, for=203.0.113.5;proto=http;by=10.9.9.9, For=10.1.1.1") == "203.0.113.5");
  CHECK(of_forwarded("proto=https; for=\"[2a00::5]:4711\"") == "2a00::5");
  CHECK(of_forwarded("for=_hidden").empty());
  CHECK(of_forwarded("for=unknown").empty());
  CHECK(of_forwarded("by=203.0.113.5").empty());
  CHECK(of_forwarded("for=203.0.113.5, by=10.1.1.1").empty());
}

TEST_CASE("client address: of two headers that differ neither is believed") {
  CHECK(client("X-Forwarded-For: 203.0.113.5\r\nForwarded: for=203.0.113.5\r\n") == "203.0.113.5");
  CHECK(client("X-Forwarded-For: 203.0.113.5\r\nForwarded: for=6.6.6.6\r\n").empty());
  CHECK(client("X-Forwarded-For: 203.0.113.5\r\nForwarded: for=unknown\r\n").empty());
}
