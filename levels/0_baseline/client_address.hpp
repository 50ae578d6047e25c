// The client's address behind proxies that are trusted: what X-Forwarded-For or Forwarded (RFC 7239) says, read from
// its end, as far as each step was written by a proxy of the list. Anybody can send these headers; so what a stranger
// wrote before the first trusted hop is never reached.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "config/network.hpp"
#include "levels/0_baseline/address_text.hpp"
#include "levels/0_baseline/http_head.hpp"

namespace ratchet::http {

class TrustedProxies {
 public:
  TrustedProxies() = default;
  explicit TrustedProxies(const std::vector<std::string>& networks) : networks_(networks) {}

  bool none() const noexcept { return networks_.empty(); }
  // `peer`: numeric, or empty: through a unix socket.
  bool trusts(std::string_view peer) const noexcept { return networks_.contain(peer); }

  // Of a request that came from a trusted peer. Empty: the headers say nothing, nothing sound, or differ; then the peer
  // is all that is known.
  AddressText client(const Head& head) const noexcept;

 private:
  AddressText last_stranger(const Head& head, std::string_view header,
                            std::optional<AddressBytes> (*address_in)(std::string_view)) const noexcept;

  Networks networks_;
};

// Some proxy says that it sends this for a client: X-Forwarded-*, Forwarded, Via, X-Real-IP and their like.
bool is_forwarded(const Head& head) noexcept;

}  // namespace ratchet::http
