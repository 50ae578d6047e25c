// What the process may come to need of memory, by its own bounds: a cgroup's limit (MemoryMax=, a container's) must
// hold it, or the kernel ends the process for what its configuration allows.
#pragma once

#include <cstddef>
#include <string>

#include "config/settings.hpp"

namespace ratchet {

inline constexpr std::size_t kOpsBufferBytes = 8 * kMiB;  // heads, and pages that wait for slow readers; no body is ever kept
// Program, threads, database results, batches and relay pages under way, the producer's queue, logs; measured 60 MiB.
inline constexpr std::size_t kRestOfMemory = 128 * kMiB;

struct MemoryNeed {
  std::size_t buffers = 0;  // of unfinished requests and answers, both ports
  std::size_t queues = 0;   // of all outbox pools
  std::size_t rest = kRestOfMemory;

  std::size_t total() const noexcept { return buffers + queues + rest; }
};
MemoryNeed memory_need(const Settings& settings) noexcept;
std::string to_string(const MemoryNeed& need);  // one line for people

}  // namespace ratchet
