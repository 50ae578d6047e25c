// A chunked body (RFC 9112 7.1), read strictly and piece by piece. What is decided is decided at the earliest byte that
// allows it, so the verdict and the bytes do not depend on how the body was cut. Chunk extensions and trailer fields
// are checked, bounded together and dropped: nothing here gives them a meaning, and merging a trailer into the header
// is a known way to smuggle one past whoever read only the header. Memory: nothing but the decoded body, which is
// bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "levels/0_baseline/http_head.hpp"

namespace ratchet::http {

class ChunkedReader {
 public:
  static constexpr std::size_t kMostSizeDigits = 16;
  // Of extensions and trailers, all of a body's together, line ends included.
  static constexpr std::size_t kMostExtras = 4096;

  // `most`: of decoded bytes.
  explicit ChunkedReader(std::size_t most) noexcept : most_(most) {}

  // Takes what belongs to the body from the front of `input`, which continues where the last call ended, and appends
  // the decoded bytes to `body`; `used` is how much was taken. `complete`: the body has ended, the next request
  // follows. `refused`: 400 malformed or 413; `refusal` is filled. After either, not to be called again.
  Scan read(std::string_view input, std::size_t& used, std::string& body, Refusal& refusal);

 private:
  enum class State : std::uint8_t {
    size,       // hexadecimal digits
    extension,  // of a chunk, up to its CR
    size_lf,    // the LF that ends the size's line
    data,
    data_cr,
    data_lf,
    trailer_begin,  // of a line: CR for the last one, else a name
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
  };
  Scan step(char c, Refusal& refusal);
  Scan size_digit(char c, Refusal& refusal);
  Scan trailer(char c, Refusal& refusal);
  Scan extra(State next, Refusal& refusal);  // one more byte of those that are dropped

  const std::size_t most_;
  std::size_t decoded_ = 0;
  std::size_t left_ = 0;  // of the chunk
  std::size_t extras_ = 0;
  std::size_t digits_ = 0;
  State state_ = State::size;
};

}  // namespace ratchet::http
