// One line per change, for people at 3 a.m. To stderr with <N> priorities (systemd reads them), as text or JSON.
// Never blocks: a line that does not fit into the pipe at once is dropped and counted. Repeats are folded.
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

struct Field {
  std::string_view name;
  std::string value;
};

class Log {
 public:
  Log(const LogSettings& settings, const TimeSource& time, int fd = 2);
  ~Log();

  // Any thread. `message` is a fixed sentence; what varies goes into fields.
  void write(Severity severity, std::string_view message, std::initializer_list<Field> fields = {});
  void error(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::error, m, f); }
  void warning(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::warning, m, f); }
  void notice(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::notice, m, f); }
  void info(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::info, m, f); }
  void debug(std::string_view m, std::initializer_list<Field> f = {}) { write(Severity::debug, m, f); }

  void set_level(Severity least) noexcept;
  std::uint64_t dropped() const noexcept;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
