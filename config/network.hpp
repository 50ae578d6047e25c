// Networks of addresses: "10.0.0.0/8", "2001:db8::/32", "192.0.2.7" (itself), and "unix:", whoever comes through a unix
// socket. An IPv4 address inside IPv6 (::ffff:192.0.2.7) is the IPv4 address.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace ratchet {

using AddressBytes = std::array<unsigned char, 16>;  // IPv4 as ::ffff:a.b.c.d

// Numeric IPv4 or IPv6, without a zone, brackets or port.
std::optional<AddressBytes> parse_numeric(std::string_view text) noexcept;

struct Network {
  AddressBytes address{};
  unsigned prefix = 128;  // bits of `address` that count
  bool local = false;     // "unix:"

  bool contains(const AddressBytes& other) const noexcept;
};

// Empty also for a prefix that is too long and for bits after the prefix: "10.0.0.1/8" is rather a slip than a network.
std::optional<Network> parse_network(std::string_view text) noexcept;

}  // namespace ratchet
