// Gives memory that is free back to the system. The allocator keeps it, for ever where something small and long-lived
// lies above it, so that one burst would be counted against a container's limit for good.
#pragma once

#include <cstddef>

#include "levels/core/clock.hpp"

namespace ratchet {

// Control thread.
class MemoryReturn {
 public:
  // Once, before there are threads: what is large is mapped by itself and goes back when it is freed. By default the
  // allocator stops doing so after the first such piece.
  static void keep_large_apart() noexcept;

  // At each turn of the loop. Every 10 s, if something has become free since the last time (milliseconds, where that
  // is much).
  void turn(TimePoint now) noexcept;

 private:
  TimePoint next_{};
  std::size_t free_ = 0;  // bytes; the least since the last time
};

}  // namespace ratchet
