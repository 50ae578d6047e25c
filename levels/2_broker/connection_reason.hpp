// Why a connection to a broker failed, in few words for people.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "levels/core/fault.hpp"

namespace ratchet::kafka {

// What librdkafka says of a broker, taken apart.
struct Told {
  std::string where;        // "127.0.0.1:9092"; may be empty
  std::optional<int> node;  // the broker's id; none of a bootstrap address, or where none is said
  std::string reason;       // "connection refused"
};
Told read_reason(std::string_view text);

// "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"
// -> "127.0.0.1:9092: connection refused".
std::string short_reason(std::string_view text);

struct ConnectionReason {
  int code;  // librdkafka's
  std::string text;

  // librdkafka has one code for all that may befall a connection; its text tells them apart.
  FaultKind kind() const noexcept;
};

}  // namespace ratchet::kafka
