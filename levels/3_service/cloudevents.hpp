// What a request's headers say about its event: a CloudEvent 1.0 in binary mode (ce- headers), or plain JSON, to which
// the server adds the attributes itself. Structured and batch mode are not taken.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/http_head.hpp"
#include "levels/3_service/problem.hpp"

namespace ratchet::service {

struct Envelope {
  struct Extension {
    std::string_view name;   // lower case, without "ce-"
    std::string_view value;  // decoded
  };
  bool cloudevent = false;        // ce- headers were sent: id, source and type are theirs. Else they are empty
  bool json = false;              // the body claims to be JSON
  std::string_view content_type;  // as sent; empty: none
  std::string_view id, source, type;
  std::string_view time;  // RFC 3339; empty: not sent
  std::string_view spec_version;
  std::vector<Extension> extensions;  // subject and dataschema, too; sorted by name

  // Decoded, whichever of them it is; empty: not sent.
  std::optional<std::string_view> attribute(std::string_view name) const noexcept;
};

// Keeps its buffers from request to request. One thread at a time.
class EnvelopeReader {
 public:
  // Views of the result point into `head` and into this reader: valid until the next read.
  // Empty: `out` is filled.
  std::optional<Problem> read(const http::Head& head, Envelope& out);

 private:
  std::optional<Problem> attribute(std::string_view header_name, std::string_view raw, Envelope& out);
  std::optional<std::string_view> decode(std::string_view raw);

  std::string names_;  // both reserved before they are filled, so views into them stay
  std::string values_;
};

// RFC 3339, lightly: shape and ranges, not the calendar.
bool is_rfc3339(std::string_view text) noexcept;

}  // namespace ratchet::service
