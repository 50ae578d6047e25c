// The last 1,000 transitions and faults, for /history: what happened, when, why.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "levels/core/clock.hpp"

namespace ratchet {

class History {
 public:
  struct Entry {
    WallTime at;
    std::string what;  // "raised", "raise failed", "fault", "lowered", "hold", "release", "stop"
    int level;
    std::string text;
  };
  explicit History(std::size_t keep = 1000) : keep_(keep) {}
  void add(Entry entry);              // any thread
  std::vector<Entry> list() const;    // oldest first; any thread

 private:
  const std::size_t keep_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace ratchet
