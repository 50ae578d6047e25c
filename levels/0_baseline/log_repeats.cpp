#include "levels/0_baseline/log_repeats.hpp"

#include <algorithm>
#include <iterator>

namespace ratchet {
namespace {

constexpr Duration kWindow = std::chrono::seconds(10);
constexpr int kMostSaid = 3;  // of one line in a window, while others come between
constexpr std::size_t kMostLines = 32;
constexpr std::size_t kMostBytes = std::size_t{64} * 1024;

}  // namespace

std::size_t LogLine::bytes() const noexcept {
  std::size_t sum = message.size();
  for (const auto& [name, value] : fields)
    sum += name.size() + value.size();
  return sum;
}

void LogRepeats::say(Entry& entry) {
  ++entry.said;
  say_(entry.line, 0);
}

void LogRepeats::say_count(Entry& entry) {
  if (entry.unsaid == 0) return;
  ++entry.said;
  say_(entry.line, std::exchange(entry.unsaid, 0));
}

void LogRepeats::take(LogLine line, TimePoint now) {
  const auto known = std::find_if(lines_.begin(), lines_.end(), [&](const Entry& e) { return e.line == line; });
  const bool again = known != lines_.end() && known == lines_.begin();
  if (!again && !lines_.empty() && lines_.front().said < kMostSaid) say_count(lines_.front());
  if (known == lines_.end()) {
    const std::size_t bytes = line.bytes();
    lines_.push_front({std::move(line), bytes, now});
    bytes_ += bytes;
    make_room();
    return say(lines_.front());
  }
  lines_.splice(lines_.begin(), lines_, known);
  Entry& entry = lines_.front();
  const bool is_new_window = now - entry.since >= kWindow;
  if (is_new_window) {
    entry.since = now;
    entry.said = 0;
  }
  if (!again && entry.unsaid == 0 && entry.said < kMostSaid) return say(entry);
  ++entry.unsaid;
  if (is_new_window) say_count(entry);
}

// The latest stays, whatever its size.
void LogRepeats::make_room() {
  while (lines_.size() > 1 && (lines_.size() > kMostLines || bytes_ > kMostBytes)) {
    auto goes = std::prev(lines_.end());
    for (auto at = goes; at != lines_.begin(); --at) {
      if (at->said > 1 || at->unsaid > 0) continue;
      goes = at;
      break;
    }
    say_count(*goes);
    bytes_ -= goes->bytes;
    lines_.erase(goes);
  }
}

void LogRepeats::say_due(TimePoint now) {
  for (Entry& entry : lines_) {
    if (entry.unsaid == 0 || now - entry.since < kWindow) continue;
    entry.since = now;
    entry.said = 0;
    say_count(entry);
  }
}

void LogRepeats::say_all() {
  for (auto entry = lines_.rbegin(); entry != lines_.rend(); ++entry)
    say_count(*entry);
}

}  // namespace ratchet
