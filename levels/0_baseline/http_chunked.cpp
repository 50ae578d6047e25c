#include "levels/0_baseline/http_chunked.hpp"

#include <algorithm>

namespace ratchet::http {
namespace {

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool is_control(char c) noexcept {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && u != '\t') || u == 0x7f;
}

Scan malformed(Refusal& refusal, std::string_view detail) {
  refusal = {400, "malformed", detail};
  return Scan::refused;
}

}  // namespace

Scan ChunkedReader::read(std::string_view input, std::size_t& used, std::string& body, Refusal& refusal) {
  used = 0;
  while (used < input.size()) {
    if (state_ == State::data) {
      const std::size_t piece = std::min(left_, input.size() - used);
      body.append(input, used, piece);
      used += piece;
      left_ -= piece;
      if (left_ == 0) state_ = State::data_cr;
      continue;
    }
    if (const Scan done = step(input[used++], refusal); done != Scan::incomplete) return done;
  }
  return Scan::incomplete;
}

Scan ChunkedReader::step(char c, Refusal& refusal) {
  switch (state_) {
    case State::size:
      return size_digit(c, refusal);
    case State::extension:
      if (c == '\r') return extra(State::size_lf, refusal);
      if (is_control(c)) return malformed(refusal, "a control character in a chunk's extension");
      return extra(State::extension, refusal);
    case State::size_lf:
      if (c != '\n') return malformed(refusal, "a chunk's size that does not end in CRLF");
      decoded_ += left_;
      digits_ = 0;
      state_ = left_ > 0 ? State::data : State::trailer_begin;
      return Scan::incomplete;
    case State::data_cr:
    case State::data_lf:
      if (c != (state_ == State::data_cr ? '\r' : '\n')) return malformed(refusal, "a chunk that does not end in CRLF");
      state_ = state_ == State::data_cr ? State::data_lf : State::size;
      return Scan::incomplete;
    case State::last_lf:
      return c == '\n' ? Scan::complete : malformed(refusal, "a chunked body that does not end in CRLF");
    default:
      return trailer(c, refusal);
  }
}

Scan ChunkedReader::size_digit(char c, Refusal& refusal) {
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > kMostSizeDigits) return malformed(refusal, "a chunk's size with too many digits");
    left_ = left_ << 4U | static_cast<std::size_t>(digit);
    return Scan::incomplete;
  }
  if (digits_ == 0 || (c != '\r' && c != ';'))
    return malformed(refusal, "a chunk's size that is not a hexadecimal number");
  if (left_ > most_ - decoded_) {
    const std::size_t found = left_ > ~std::size_t{0} - decoded_ ? ~std::size_t{0} : decoded_ + left_;
    refusal = {413, "body-too-large", "the body is longer than the limit", most_, found};
    return Scan::refused;
  }
  if (c == ';') return extra(State::extension, refusal);
  state_ = State::size_lf;
  return Scan::incomplete;
}

Scan ChunkedReader::trailer(char c, Refusal& refusal) {
  switch (state_) {
    case State::trailer_begin:
      if (c == '\r') {
        state_ = State::last_lf;
        return Scan::incomplete;
      }
      [[fallthrough]];
    case State::trailer_name:
      if (c == ':' && state_ == State::trailer_name) return extra(State::trailer_value, refusal);
      if (!is_token_character(c))
        return malformed(refusal, "a trailer line that does not begin with a name and a colon");
      return extra(State::trailer_name, refusal);
    case State::trailer_value:
      if (c == '\r') return extra(State::trailer_lf, refusal);
      if (is_control(c)) return malformed(refusal, "a control character in a trailer");
      return extra(State::trailer_value, refusal);
    default:
      if (c != '\n') return malformed(refusal, "a trailer line that does not end in CRLF");
      return extra(State::trailer_begin, refusal);
  }
}

Scan ChunkedReader::extra(State next, Refusal& refusal) {
  if (++extras_ > kMostExtras) {
    return malformed(refusal, "more chunk extensions and trailers than the limit");
  }
  state_ = next;
  return Scan::incomplete;
}

}  // namespace ratchet::http
