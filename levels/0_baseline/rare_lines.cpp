#include "levels/0_baseline/rare_lines.hpp"

#include <algorithm>

namespace ratchet {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr std::size_t kMostKeys = 64;

}  // namespace

bool RareLines::is_due(std::string key, TimePoint now) {
  const auto known = said_.find(key);
  if (known != said_.end() && now - known->second < hours(1)) return false;
  if (last_ && now - *last_ < seconds(10)) {
    ++left_out_;
    return false;
  }
  if (known == said_.end() && said_.size() >= kMostKeys) {
    said_.erase(
        std::min_element(said_.begin(), said_.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  said_.insert_or_assign(std::move(key), now);
  last_ = now;
  return true;
}

}  // namespace ratchet
