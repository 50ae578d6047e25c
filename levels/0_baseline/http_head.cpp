#include "levels/0_baseline/http_head.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace ratchet::http {
namespace {

constexpr std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20U] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kToken = token_table();

// Of a Host: registered name or IPv4 address. No comma: it would be two Hosts merged by somebody on the way.
constexpr std::array<bool, 256> host_table() {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20U] = true;
  for (char c : std::string_view("-._~%!$&'()*+;=")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kHost = host_table();

constexpr bool is_token(char c) noexcept { return kToken[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
constexpr bool is_visible(char c) noexcept { return c > ' ' && c < 0x7f; }
constexpr bool is_control(char c) noexcept {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && u != '\t') || u == 0x7f;
}
constexpr char lowered(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Eight bytes at once: is one of them below 0x20, or 0x7f?
bool any_control(const char* p) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = 0x8080808080808080;
  std::uint64_t x = 0;
  std::memcpy(&x, p, sizeof x);
  const std::uint64_t below = (x - kOnes * 0x20) & ~x & kHighs;
  const std::uint64_t flipped = x ^ (kOnes * 0x7f);
  const std::uint64_t deleted = (flipped - kOnes) & ~flipped & kHighs;
  return (below | deleted) != 0;
}

// `name` consists of token characters and is as long as `lower`, which consists of a-z and '-': then setting bit
// 0x20 folds the case of letters and makes no other token character equal to one of `lower`'s.
bool is_name(std::string_view name, std::string_view lower) noexcept {
  unsigned difference = 0;
  for (std::size_t i = 0; i < lower.size(); ++i) {
    difference |= (static_cast<unsigned char>(name[i]) | 0x20U) ^ static_cast<unsigned char>(lower[i]);
  }
  return difference == 0;
}

bool is_host(std::string_view value) noexcept {
  std::size_t end = 0;
  if (!value.empty() && value.front() == '[') {
    end = value.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    for (char c : value.substr(1, end - 1)) {
      if (!is_digit(c) && !(lowered(c) >= 'a' && lowered(c) <= 'f') && c != ':' && c != '.') return false;
    }
    ++end;
  } else {
    while (end < value.size() && kHost[static_cast<unsigned char>(value[end])]) ++end;
    if (end == 0) return false;
  }
  if (end == value.size()) return true;
  const std::string_view port = value.substr(end + 1);
  return value[end] == ':' && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit);
}

// Headers that would be read differently by two readers if they came twice.
enum Single : unsigned {
  kHostSeen = 1U << 0,
  kContentLength = 1U << 1,
  kContentType = 1U << 2,
  kIdempotencyKey = 1U << 3,
  kAuthorization = 1U << 4,
  kCeId = 1U << 5,
  kCeSource = 1U << 6,
  kCeType = 1U << 7,
  kCeSpecversion = 1U << 8,
  kTraceparent = 1U << 9,
  kExpect = 1U << 10,
  kTransferEncoding = 1U << 11
};
constexpr std::array<std::string_view, 12> kTwice = {
    "the header Host came twice",         "the header Content-Length came twice",
    "the header Content-Type came twice", "the header Idempotency-Key came twice",
    "the header Authorization came twice", "the header ce-id came twice",
    "the header ce-source came twice",    "the header ce-type came twice",
    "the header ce-specversion came twice", "the header traceparent came twice",
    "the header Expect came twice",       "the header Transfer-Encoding came twice"};
static_assert(kTransferEncoding == 1U << (kTwice.size() - 1));

// One pass from the first byte on. Whatever is decided is decided at the earliest byte that allows it and never
// depends on what follows, so that a request cut in pieces is read as if it had come whole.
class Scanner {
 public:
  Scanner(std::string_view input, const HttpLimits& limits, Head& head, Refusal& refusal) noexcept
      : begin_(input.data()), p_(begin_), input_end_(begin_ + input.size()), limits_(limits), head_(head), refusal_(refusal) {}

  Scan run() {
    head_.header_count = 0;
    head_.body_bytes = 0;
    head_.expect_continue = head_.chunked = false;
    Scan so_far = empty_line();
    if (so_far == Scan::complete) so_far = request_line();
    if (so_far == Scan::complete) so_far = header_lines();
    return so_far == Scan::complete ? judge() : so_far;
  }

 private:
  Scan refuse(int status, std::string_view reason, std::string_view detail) {
    refusal_ = {status, reason, detail};
    return Scan::refused;
  }
  Scan malformed(std::string_view detail) { return refuse(400, "malformed", detail); }

  // From here on at most `bytes` and a CRLF may be read.
  void allow(std::size_t bytes) noexcept {
    const auto left = static_cast<std::size_t>(input_end_ - p_);
    limited_ = left >= bytes + 2;
    end_ = limited_ ? p_ + bytes + 2 : input_end_;
  }
  // Called where `end_` was reached: the limit, or only what has arrived so far.
  Scan ran_out() {
    if (!limited_) return Scan::incomplete;
    if (in_headers_) return refuse(431, "header-too-large", "the header lines are longer than the limit");
    return refuse(414, "request-line-too-long", "the request line is longer than the limit");
  }
  // At '\r': goes past CRLF.
  Scan line_end() {
    if (p_ + 1 == end_) return ran_out();
    if (p_[1] != '\n') return malformed("a CR that is not followed by LF");
    p_ += 2;
    return Scan::complete;
  }

  // One empty line before a request is forgiven (RFC 9112 2.2).
  Scan empty_line() {
    allow(0);
    if (p_ == end_ || *p_ != '\r') return Scan::complete;
    if (p_ + 1 == end_) return Scan::incomplete;
    return line_end();
  }

  Scan request_line() {
    allow(limits_.request_line_bytes);
    const char* start = p_;
    while (p_ != end_ && is_token(*p_)) ++p_;
    if (p_ == end_) return ran_out();
    if (p_ == start || *p_ != ' ') return malformed("the request line does not begin with a method and one space");
    head_.method = {start, static_cast<std::size_t>(p_ - start)};
    start = ++p_;
    while (p_ != end_ && is_visible(*p_)) ++p_;
    if (p_ == end_) return ran_out();
    head_.target = {start, static_cast<std::size_t>(p_ - start)};
    if (head_.target.empty()) return malformed("the request line has no target");
    if (*p_ == '\r') {
      const Scan end = line_end();
      return end == Scan::complete ? refuse(505, "http-version", "HTTP/0.9 is not spoken here") : end;
    }
    if (*p_ != ' ') return malformed("a character in the target that does not belong there");
    ++p_;
    return version();
  }

  Scan version() {
    constexpr std::string_view kName = "HTTP/";
    const char* const start = p_;
    for (std::size_t i = 0; i < 8; ++i, ++p_) {
      if (p_ == end_) return ran_out();
      const bool right = i < kName.size() ? *p_ == kName[i] : i == 6 ? *p_ == '.' : is_digit(*p_);
      if (!right) return malformed("the request line does not end in HTTP/ and a version");
    }
    if (p_ == end_) return ran_out();
    if (*p_ != '\r') return malformed("something follows the version in the request line");
    if (const Scan end = line_end(); end != Scan::complete) return end;
    if (start[5] != '1' || (start[7] != '1' && start[7] != '0')) {
      return refuse(505, "http-version", "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    head_.http_1_0 = start[7] == '0';
    return Scan::complete;
  }

  Scan header_lines() {
    in_headers_ = true;
    allow(limits_.header_bytes);
    const std::size_t most = std::min(limits_.headers, Head::kMostHeaders);
    for (;;) {
      if (p_ == end_) return ran_out();
      if (*p_ == '\r') return line_end();
      if (head_.header_count == most) return refuse(431, "too-many-headers", "more header lines than the limit");
      if (const Scan line = header_line(); line != Scan::complete) return line;
      if (const Scan taken = note(head_.headers[head_.header_count++]); taken != Scan::complete) return taken;
    }
  }

  Scan header_line() {
    const char* const name = p_;
    while (p_ != end_ && is_token(*p_)) ++p_;
    if (p_ == end_) return ran_out();
    if (*p_ != ':' || p_ == name) {
      if (p_ == name && is_blank(*p_)) return malformed("a folded header line");
      if (is_blank(*p_)) return malformed("white space between a header's name and its colon");
      return malformed(p_ == name ? "a header line without a name" : "a header's name with a character that does not belong there");
    }
    Header& header = head_.headers[head_.header_count];
    header.name = {name, static_cast<std::size_t>(p_ - name)};
    ++p_;
    while (p_ != end_ && is_blank(*p_)) ++p_;
    const char* const value = p_;
    while (end_ - p_ >= 8 && !any_control(p_)) p_ += 8;
    while (p_ != end_ && !is_control(*p_)) ++p_;
    if (p_ == end_) return ran_out();
    if (*p_ != '\r') return malformed(*p_ == '\n' ? "an LF without CR" : "a control character in a header's value");
    const char* last = p_;
    while (last != value && is_blank(last[-1])) --last;
    header.value = {value, static_cast<std::size_t>(last - value)};
    return line_end();
  }

  Scan once(Single which) {
    if ((seen_ & which) != 0) return malformed(kTwice[static_cast<std::size_t>(std::countr_zero(which + 0U))]);
    seen_ |= which;
    return Scan::complete;
  }

  // What the header means for framing. Its name's length decides most cases at once.
  Scan note(const Header& header) {
    const std::string_view name = header.name;
    switch (name.size()) {
      case 4: return is_name(name, "host") ? (host_ = header.value, once(kHostSeen)) : Scan::complete;
      case 5: return is_name(name, "ce-id") ? once(kCeId) : Scan::complete;
      case 6: return is_name(name, "expect") ? expect(header.value) : Scan::complete;
      case 7: return is_name(name, "ce-type") ? once(kCeType) : Scan::complete;
      case 9: return is_name(name, "ce-source") ? once(kCeSource) : Scan::complete;
      case 10: return is_name(name, "connection") ? connection(header.value) : Scan::complete;
      case 11: return is_name(name, "traceparent") ? once(kTraceparent) : Scan::complete;
      case 12: return is_name(name, "content-type") ? once(kContentType) : Scan::complete;
      case 13: return is_name(name, "authorization") ? once(kAuthorization) : Scan::complete;
      case 14:
        if (is_name(name, "content-length")) return content_length(header.value);
        return is_name(name, "ce-specversion") ? once(kCeSpecversion) : Scan::complete;
      case 15: return is_name(name, "idempotency-key") ? once(kIdempotencyKey) : Scan::complete;
      case 16:
        if (is_name(name, "content-encoding") && !equals_ignoring_case(header.value, "identity")) encoded_ = true;
        return Scan::complete;
      case 17:
        return is_name(name, "transfer-encoding") ? transfer_encoding(header.value) : Scan::complete;
      default: return Scan::complete;
    }
  }

  Scan expect(std::string_view value) {
    head_.expect_continue = equals_ignoring_case(value, "100-continue");
    return once(kExpect);
  }

  Scan transfer_encoding(std::string_view value) {
    head_.chunked = equals_ignoring_case(value, "chunked");
    return once(kTransferEncoding);
  }

  Scan content_length(std::string_view value) {
    if (const Scan single = once(kContentLength); single != Scan::complete) return single;
    if (value.empty()) return malformed("an empty Content-Length");
    constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
    std::size_t length = 0;
    for (char c : value) {
      if (!is_digit(c)) return malformed("a Content-Length that is not a number");
      const auto digit = static_cast<std::size_t>(c - '0');
      if (length > (kMost - digit) / 10) return malformed("a Content-Length beyond all numbers");
      length = length * 10 + digit;
    }
    head_.body_bytes = length;
    return Scan::complete;
  }

  Scan connection(std::string_view list) {
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      std::string_view option = list.substr(0, comma);
      list.remove_prefix(std::min(comma + 1, list.size()));
      while (!option.empty() && is_blank(option.front())) option.remove_prefix(1);
      while (!option.empty() && is_blank(option.back())) option.remove_suffix(1);
      if (equals_ignoring_case(option, "close")) says_close_ = true;
      if (equals_ignoring_case(option, "keep-alive")) says_keep_alive_ = true;
    }
    return Scan::complete;
  }

  // Splits the target: "/path?query", or "http://authority/path?query" as a proxy would be asked.
  Scan target() {
    constexpr std::string_view kRoot = "/";
    std::string_view rest = head_.target;
    if (rest.find('#') != std::string_view::npos) return malformed("a fragment in the target");
    if (rest.front() != '/') {
      const std::size_t scheme = rest.find("://");
      const std::string_view name = rest.substr(0, std::min(scheme, rest.size()));
      if (scheme == std::string_view::npos || (!equals_ignoring_case(name, "http") && !equals_ignoring_case(name, "https"))) {
        return malformed("a target that is neither a path nor an http URI");
      }
      rest.remove_prefix(scheme + 3);
      const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
      if (!is_host(rest.substr(0, end))) return malformed("a target without a valid authority");
      rest.remove_prefix(end);
    }
    const std::size_t mark = rest.find('?');
    head_.path = rest.substr(0, std::min(mark, rest.size()));
    head_.query = mark == std::string_view::npos ? std::string_view() : rest.substr(mark + 1);
    if (head_.path.empty()) head_.path = kRoot;
    return Scan::complete;
  }

  // The head is whole and well formed: is it a request that we take?
  Scan judge() {
    head_.head_bytes = static_cast<std::size_t>(p_ - begin_);
    const bool has_host = (seen_ & kHostSeen) != 0;
    if ((has_host || !head_.http_1_0) && !is_host(host_)) {
      return malformed(has_host ? "an invalid Host" : "an HTTP/1.1 request without Host");
    }
    if (const Scan split = target(); split != Scan::complete) return split;
    if ((seen_ & kTransferEncoding) != 0) {
      if ((seen_ & kContentLength) != 0) return malformed("both Content-Length and Transfer-Encoding");
      if (head_.http_1_0) return malformed("Transfer-Encoding in HTTP/1.0");
      if (!head_.chunked) return refuse(501, "transfer-coding", "the only transfer coding taken is chunked, alone");
    }
    if ((head_.body_bytes > 0 || head_.chunked) && (head_.method == "GET" || head_.method == "HEAD")) {
      return malformed("a GET or HEAD with a body");
    }
    if (encoded_) return refuse(415, "content-encoding", "an encoded body is not taken");
    if ((seen_ & kExpect) != 0 && !head_.expect_continue) {
      return refuse(417, "expectation", "the only expectation met here is 100-continue");
    }
    if (head_.body_bytes > limits_.body_bytes) {
      refusal_ = {413, "body-too-large", "the body is longer than the limit", limits_.body_bytes, head_.body_bytes};
      return Scan::refused;
    }
    if (head_.http_1_0) head_.expect_continue = false;  // RFC 9110 10.1.1
    head_.keep_alive = !says_close_ && (!head_.http_1_0 || says_keep_alive_);
    return Scan::complete;
  }

  const char* const begin_;
  const char* p_;
  const char* end_ = nullptr;  // how far one may read now
  const char* const input_end_;
  const HttpLimits& limits_;
  Head& head_;
  Refusal& refusal_;
  std::string_view host_;
  unsigned seen_ = 0;
  bool limited_ = false;  // end_ is a limit, not the end of the input
  bool in_headers_ = false;
  bool encoded_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
};

}  // namespace

std::optional<std::string_view> Head::header(std::string_view lower_case_name) const noexcept {
  for (std::size_t i = 0; i < header_count; ++i) {
    if (equals_ignoring_case(headers[i].name, lower_case_name)) return headers[i].value;
  }
  return std::nullopt;
}

Scan scan(std::string_view input, const HttpLimits& limits, Head& head, Refusal& refusal) {
  return Scanner(input, limits, head, refusal).run();
}

bool is_token_character(char c) noexcept { return is_token(c); }

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lowered(a[i]) != lowered(b[i])) return false;
  }
  return true;
}

}  // namespace ratchet::http
