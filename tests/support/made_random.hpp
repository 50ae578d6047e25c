// Randomness that repeats itself, and remembers what it gave.
#pragma once

#include <vector>

#include "levels/core/random.hpp"

namespace ratchet::tests {

class MadeRandom final : public RandomSource {
 public:
  explicit MadeRandom(std::uint64_t seed = 1) noexcept : state_(seed) {}

  void fill(std::span<std::uint8_t> bytes) const noexcept override {
    for (auto& byte : bytes) {
      std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      byte = static_cast<std::uint8_t>(z >> 56);
    }
    draws_.emplace_back(bytes.begin(), bytes.end());
  }

  const std::vector<std::vector<std::uint8_t>>& draws() const noexcept { return draws_; }

 private:
  mutable std::uint64_t state_;
  mutable std::vector<std::vector<std::uint8_t>> draws_;
};

}  // namespace ratchet::tests
