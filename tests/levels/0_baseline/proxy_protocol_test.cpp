// The PROXY protocol by the examples and the grammar of its specification.
#include "levels/0_baseline/proxy_protocol.hpp"

#include <rapidcheck.h>

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet::http;
using namespace std::string_literals;

namespace {

struct Read {
  Scan verdict;
  std::string client;
  std::size_t bytes = 0;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(std::string_view input) {
  const std::vector<char> copy(input.begin(), input.end());  // a look past its end is seen
  ProxyHeader header;
  const Scan verdict = scan_proxy({copy.data(), copy.size()}, header);
  if (verdict != Scan::complete) return {verdict, ""};
  return {verdict, std::string(header.client.view()), header.bytes};
}

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string v2(unsigned version_and_command, unsigned family, const std::string& rest) {
  const auto byte = [](std::size_t value) { return static_cast<char>(value & 0xffU); };
  return kSignature + byte(version_and_command) + byte(family) + byte(rest.size() >> 8U) + byte(rest.size()) + rest;
}

const std::string kInet = "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"s;  // 192.0.2.1:56324 -> 198.51.100.1:443
const std::string kInet6 =
    "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07" + std::string(16, '\1') + "\xdc\x04\x01\xbb";

const std::vector<std::string> kGood{
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",  // the longest of TCP4 in the specification
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    "PROXY TCP6 2001:db8::7 ::1 0 1\r\n",
    "PROXY UNKNOWN\r\n",
    "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    v2(0x21, 0x11, kInet),
    v2(0x21, 0x21, kInet6),
    v2(0x20, 0x00, ""),                                   // a balancer's own check
    v2(0x20, 0x11, kInet),                                // LOCAL: its addresses do not count
    v2(0x21, 0x00, ""),                                   // PROXY of an unspecified family
    v2(0x21, 0x31, std::string(216, 'x')),                // a unix socket
    v2(0x21, 0x11, kInet + "\x04\x00\x01\x00"s),          // followed by extensions
    v2(0x21, 0x11, kInet + std::string(520 - 12, '\4')),  // as long as may be
};

}  // namespace

TEST_CASE("proxy protocol: the client's address is told by both versions") {
  CHECK(read(kGood[0]) == Read{Scan::complete, "255.255.255.255", kGood[0].size()});
  CHECK(read(kGood[1] + "GET /") == Read{Scan::complete, "192.168.0.1", kGood[1].size()});
  CHECK(read(kGood[2]).client == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  CHECK(kGood[5].size() == ProxyHeader::kMostV1);
  CHECK(read(kGood[3]).client == "2001:db8::7");
  CHECK(read(kGood[6] + "GET /") == Read{Scan::complete, "192.0.2.1", 28});
  CHECK(read(kGood[7]).client == "2001:db8::7");
  CHECK(read(kGood[12]) == Read{Scan::complete, "192.0.2.1", 32});
  CHECK(read(kGood[13]).bytes == ProxyHeader::kMostV2);
}

TEST_CASE("proxy protocol: what says nothing of the client leaves the connection's own address") {
  for (const std::size_t i : {4U, 5U, 8U, 9U, 10U, 11U}) {
    CAPTURE(i);
    CHECK(read(kGood[i]) == Read{Scan::complete, "", kGood[i].size()});
  }
}

TEST_CASE("proxy protocol: anything else is refused") {
  for (const std::string& bad : std::vector<std::string>{"GET / HTTP/1.1\r\n\r\n",
                                                         "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
                                                         "PROXY\r\n",
                                                         "PROXY \r\n",
                                                         "PROXYX",
                                                         "PROXY  TCP4\r\n",
                                                         "PROXY TCP4\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
                                                         "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1 a\r\n",
                                                         "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
                                                         "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
                                                         "PROXY TCP4 ::1 ::1 1 2\r\n",
                                                         "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
                                                         "PROXY TCP6 ::1%lo ::1 1 2\r\n",
                                                         "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
                                                         "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
                                                         "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
                                                         "PROXY UNKNOWN\n",
                                                         "PROXY UNKNOWN a\rb\r\n",
                                                         "PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"s,
                                                         "PROXY UNKNOWN " + std::string(93, 'x') + "\r\n",
                                                         "\r\n\r\n\0\r\nQUIX"s,
                                                         v2(0x11, 0x11, kInet),
                                                         v2(0x31, 0x11, kInet),
                                                         v2(0x22, 0x11, kInet),
                                                         v2(0x2f, 0x11, kInet),
                                                         v2(0x21, 0x12, kInet),
                                                         v2(0x21, 0x10, kInet),
                                                         v2(0x21, 0x01, ""),
                                                         v2(0x21, 0x41, kInet6),
                                                         v2(0x21, 0x13, kInet),
                                                         v2(0x21, 0x11, kInet.substr(1)),
                                                         v2(0x21, 0x21, kInet),
                                                         v2(0x21, 0x31, kInet6),
                                                         v2(0x21, 0x11, kInet + std::string(521 - 12, '\4')),
                                                         v2(0x20, 0x00, std::string(65535, 'x'))}) {
    INFO(bad);
    CHECK(read(bad).verdict == Scan::refused);
  }
}

TEST_CASE("proxy protocol: the verdict does not depend on how the header was cut") {
  for (const std::string& good : kGood) {
    for (std::size_t cut = 0; cut < good.size(); ++cut) {
      CHECK(read(good.substr(0, cut)).verdict == Scan::incomplete);
    }
    CHECK(read(good + "more").verdict == Scan::complete);
  }
  CHECK(rc::check("a part that is judged is judged as the whole", [] {
    std::string input = *rc::gen::elementOf(kGood);
    const int changes = *rc::gen::inRange(0, 3);
    for (int i = 0; i < changes; ++i)
      input[*rc::gen::inRange<std::size_t>(0, input.size())] = *rc::gen::arbitrary<char>();
    const Read whole = read(input);
    const Read part = read(input.substr(0, *rc::gen::inRange<std::size_t>(0, input.size() + 1)));
    RC_ASSERT(part.verdict == Scan::incomplete || part == whole);
  }));
}
