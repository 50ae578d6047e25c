// The requests that were cut on the way out, by route, for the drain's summary.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace ratchet::service {

// Any thread.
class CutRequests {
 public:
  void add(std::string_view route) {
    const std::lock_guard lock(mutex_);
    ++by_route_[std::string(route)];
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    by_route_.clear();
  }
  // "/events/orders 2, other 1"; empty: none.
  std::string text() const {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& [route, count] : by_route_)
      text.append(text.empty() ? "" : ", ").append(route).append(" ").append(std::to_string(count));
    return text;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> by_route_;
};

// The path of a request of which maybe only the beginning is there.
inline std::string_view path_begun(std::string_view begun) noexcept {
  begun.remove_prefix(std::min(begun.find(' ') + 1, begun.size()));
  return begun.substr(0, begun.find_first_of(" ?"));
}

}  // namespace ratchet::service
