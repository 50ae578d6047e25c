// Randomness as an argument, for what strangers must not guess: ids, the keys of hashes. What only spreads attempts
// over time (jitter) takes a plain number in [0, 1) instead. Nothing below daemon/main.cpp names the real source.
#pragma once

#include <cstdint>
#include <span>

namespace ratchet {

// Bytes of a cryptographic generator: whoever knows all that it gave before knows nothing of the next. Any thread.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void fill(std::span<std::uint8_t> bytes) const noexcept = 0;
};

}  // namespace ratchet
