// Networks of addresses: "10.0.0.0/8", "2001:db8::/32", "192.0.2.7" (itself), and "unix:", whoever comes through a unix
// socket. An IPv4 address inside IPv6 (::ffff:192.0.2.7) is the IPv4 address.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

class Networks {
 public:
  Networks() = default;
  explicit Networks(const std::vector<std::string>& texts);  // sound ones; the loader refuses others

  bool empty() const noexcept { return all_.empty(); }
  bool contain(const AddressBytes& address) const noexcept;
  // `peer`: numeric, or empty: through a unix socket.
  bool contain(std::string_view peer) const noexcept;

 private:
  std::vector<Network> all_;
  bool local_ = false;
};

}  // namespace ratchet
