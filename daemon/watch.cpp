#include "daemon/watch.hpp"

namespace ratchet {

std::optional<Fault> Watch::judge(std::optional<Fault> found, TimePoint now) {
  if (!found) {
    misses_ = 0;
    first_miss_.reset();
    next_ = doubted_ ? now : now + plan_.every;
    return std::nullopt;
  }
  if (!first_miss_) first_miss_ = now;
  next_ = now;
  if (++misses_ < plan_.misses) return std::nullopt;
  found->level = level_;
  found->incarnation = incarnation_;
  found->since = *first_miss_;
  return found;
}

}  // namespace ratchet
