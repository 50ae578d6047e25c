// What was logged of late: so that a line which comes again and again is said a few times and counted from then on,
// also when others come between (A, B, A, B, ...). Bounded: 32 lines and 64 KiB of them, whatever is logged; of those
// that must go those go first that came once. Not for several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "levels/core/clock.hpp"

namespace ratchet {

enum class Severity : std::uint8_t;

struct LogLine {
  Severity severity{};
  std::string message;
  std::vector<std::pair<std::string, std::string>> fields;

  bool operator==(const LogLine&) const = default;
  std::size_t bytes() const noexcept;
};

class LogRepeats {
 public:
  // count 0: the line itself; else that it came so often without being said.
  using Say = std::function<void(const LogLine& line, std::uint64_t count)>;
  explicit LogRepeats(Say say) : say_(std::move(say)) {}

  void take(LogLine line, TimePoint now);
  void say_due(TimePoint now);  // counts that are 10 s old
  void say_all();               // counts

 private:
  struct Entry {
    LogLine line;
    std::size_t bytes;
    TimePoint since;           // of the present window
    int said = 0;              // in it
    std::uint64_t unsaid = 0;  // times it came and was not said
  };
  void say(Entry& entry);
  void say_count(Entry& entry);
  void make_room();

  Say say_;
  std::list<Entry> lines_;  // the latest first
  std::size_t bytes_ = 0;
};

}  // namespace ratchet
