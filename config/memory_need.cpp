#include "config/memory_need.hpp"

namespace ratchet {
namespace {

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB"; }

}  // namespace

MemoryNeed memory_need(const Settings& settings) noexcept {
  MemoryNeed need;
  need.buffers = settings.service.limits.buffer_bytes + kOpsBufferBytes;
  for (const auto& [name, pool] : settings.pools)
    if (pool.is_outbox()) need.queues += settings.outbox.queue_bytes;
  return need;
}

std::string to_string(const MemoryNeed& need) {
  return "memory: up to " + mebibytes(need.total()) + " (" + mebibytes(need.buffers) +
         " of unfinished requests and answers, " + mebibytes(need.queues) + " of commit queues, " +
         mebibytes(need.rest) + " for the rest); MemoryMax= or the container's limit must hold it";
}

}  // namespace ratchet
