#include "levels/0_baseline/history.hpp"

namespace ratchet {

void History::add(Entry entry) {
  std::lock_guard lock(mutex_);
  entries_.push_back(std::move(entry));
  while (entries_.size() > keep_)
    entries_.pop_front();
}

std::vector<History::Entry> History::list() const {
  std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.end()};
}

}  // namespace ratchet
