// A request's head, read strictly (RFC 9112) before anything else looks at it. Every shape on which two HTTP
// implementations could disagree about where a request ends is refused: bare CR or LF, folded lines, white space
// before the colon, two lengths, a length that is not a number, a length beside chunked, any transfer coding but chunked,
// GET with a body, and so on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "config/settings.hpp"

namespace ratchet::http {

struct Header {
  std::string_view name;   // as sent
  std::string_view value;  // trimmed
};

struct Head {
  static constexpr std::size_t kMostHeaders = 100;

  std::string_view method;
  std::string_view target;  // as sent: "/path?query" or "http://authority/path?query"
  std::string_view path;    // of the target, not decoded, begins with '/'
  std::string_view query;   // after '?', or empty
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expect_continue = false;
  bool chunked = false;         // the body's end is told by the body itself (http_chunked.hpp)
  std::size_t head_bytes = 0;
  std::size_t body_bytes = 0;   // 0 when chunked
  std::size_t header_count = 0;
  std::array<Header, kMostHeaders> headers;  // the first header_count are meant

  // First header of that name (any case); names that must be single were refused when repeated.
  std::optional<std::string_view> header(std::string_view lower_case_name) const noexcept;
};

struct Refusal {
  int status = 0;            // 400, 413, 414, 415, 417, 431, 501, 505; from the reactor also 408 and 503
  std::string_view reason;   // of ratchet_rejected_total: "header-too-large", "malformed", ...; lives for ever
  std::string_view detail;   // for people
  std::uint64_t limit = 0;   // what was passed, and by what; 0: nothing that is counted
  std::uint64_t found = 0;
};

enum class Scan : std::uint8_t { incomplete, complete, refused };

// Looks for one whole head at the start of `input`. `complete`: head is filled, its views point into `input` (the
// body, if any, follows at head_bytes). `refused`: refusal is filled; the connection must be closed after the answer.
// The verdict on a request does not depend on how it was cut into pieces; a limit is noticed as soon as it is passed.
Scan scan(std::string_view input, const HttpLimits& limits, Head& head, Refusal& refusal);

bool is_token_character(char c) noexcept;  // RFC 9110 5.6.2
bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

}  // namespace ratchet::http
