// The PROXY protocol (haproxy.org's proxy-protocol.txt), versions 1 and 2, read strictly: what a balancer says about a
// connection before its first byte. Pure; the verdict does not depend on how the header was cut.
#pragma once

#include <cstdint>
#include <string_view>

#include "levels/0_baseline/address_text.hpp"
#include "levels/0_baseline/http_head.hpp"

namespace ratchet::http {

struct ProxyHeader {
  static constexpr std::size_t kMostV1 = 107;  // with its CRLF
  static constexpr std::size_t kMostV2 = 536;  // what fits into any first packet

  AddressText client;     // empty: nothing is said of it (LOCAL, UNKNOWN, unix): the connection's own address stands
  bool own = false;       // the balancer speaks for itself (LOCAL; UNKNOWN, which is how version 1 says that)
  std::size_t bytes = 0;  // of the header
};

// Looks for one header at the start of `input`. `refused`: what begins there is none, or one that is not sound; there
// is no answer to that but closing.
Scan scan_proxy(std::string_view input, ProxyHeader& header) noexcept;

}  // namespace ratchet::http
