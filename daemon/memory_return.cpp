#include "daemon/memory_return.hpp"

#include <malloc.h>

#include <algorithm>

namespace ratchet {
namespace {

constexpr int kLarge = 1024 * 1024;
constexpr Duration kPause = std::chrono::seconds(10);
constexpr std::size_t kWorthIt = 1024 * 1024;

}  // namespace

void MemoryReturn::keep_large_apart() noexcept {
  ::mallopt(M_MMAP_THRESHOLD, kLarge);
  ::mallopt(M_TRIM_THRESHOLD, kLarge);
}

void MemoryReturn::turn(TimePoint now) noexcept {
  if (now < next_) return;
  next_ = now + kPause;
  const std::size_t free = ::mallinfo2().fordblks;  // given back or not
  free_ = std::min(free_, free);
  if (free < free_ + kWorthIt) return;
  ::malloc_trim(0);
  free_ = free;
}

}  // namespace ratchet
