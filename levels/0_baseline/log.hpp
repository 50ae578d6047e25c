// One line per change, for people at 3 a.m. To stderr, as text or JSON:
//
//   2026-11-21T10:00:00.123Z notice message key=value other="two words"
//   {"time":"2026-11-21T10:00:00.123Z","severity":"notice","message":"message","key":"value"}
//
// Never blocks: a line that does not fit into the pipe at once is dropped and counted, and the next line that does
// fit is preceded by one that says how many are missing. A line is at most 4096 bytes (PIPE_BUF: written whole or not
// at all); longer values are shortened and say by how much. What comes from outside cannot forge a line: control
// characters are escaped, bytes that are not UTF-8 become U+FFFD, and values pass through redact().
//
// Repeats: the same severity, message and fields in a row are said once and counted; the count is said, as
// "... (repeated 12 times)", when something else is logged, after 10 s of repeating, or by say_repeats(). With others
// between them they are said three times in 10 s, and counted from then on: lines that alternate fold, too.
//
// Priorities `<N>` for systemd stand before text lines when the descriptor is no terminal, and before JSON lines only
// when it is the journal's own ($JOURNAL_STREAM): everybody else expects a JSON line to start with a brace.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "levels/core/clock.hpp"

namespace ratchet {

enum class Severity : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

std::string rfc3339(WallTime at);  // "2026-11-21T10:00:00.123Z"

struct Field {
  std::string_view name;
  std::string value;
};

class Log {
 public:
  Log(const LogSettings& settings, const TimeSource& time, int fd = 2);
  ~Log();

  // Any thread. `message` is a fixed sentence; what varies goes into fields. Never throws for lack of anything but
  // memory.
  void write(Severity severity, std::string_view message, std::initializer_list<Field> fields = {});
  void error(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::error, m, f); }
  void warning(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::warning, m, f); }
  void notice(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::notice, m, f); }
  void info(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::info, m, f); }
  void debug(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::debug, m, f); }

  // A line for each thing that happened (the access log): never folded, at severity info. Any thread.
  void each(std::string_view message, std::initializer_list<Field> fields);

  // Says a count of repeats that is due (10 s after the line was last said). The control loop calls it once a
  // second, so that the last line before a silence gets its count, too. Any thread.
  void say_repeats();

  void set_level(Severity least) noexcept;
  std::uint64_t dropped() const noexcept;  // lines, since the start

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
