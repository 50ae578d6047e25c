// Errors as application/problem+json (RFC 9457), one table: type, status, title. `limit` and `found` are named
// where a limit was hit; Retry-After where trying again makes sense.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levels/0_baseline/reactor.hpp"

namespace ratchet::service {

struct Problem {
  int status = 500;
  std::string_view type;                 // last part of the URI: "nothing-stored"
  std::string_view title;
  std::string detail;
  std::optional<std::uint64_t> limit, found;
  std::optional<int> retry_after_s;
  bool close = false;
};

std::string to_json(const Problem& problem, std::string_view instance);
void answer(http::Reactor& reactor, http::Ticket ticket, const Problem& problem, std::string_view instance);

}  // namespace ratchet::service
