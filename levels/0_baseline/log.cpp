#include "levels/0_baseline/log.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "levels/0_baseline/log_repeats.hpp"

namespace ratchet {

namespace {

constexpr std::size_t kLineBytes = 4096;
static_assert(kLineBytes <= PIPE_BUF);
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string_view word(Severity severity) noexcept {
  switch (severity) {
    case Severity::error:
      return "error";
    case Severity::warning:
      return "warning";
    case Severity::notice:
      return "notice";
    case Severity::info:
      return "info";
    case Severity::debug:
      return "debug";
  }
  return "debug";
}

// The length of the UTF-8 sequence at the start of `text`; 0 if there is none (overlong, surrogate, cut short).
std::size_t utf8_length(std::string_view text) noexcept {
  auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto follows = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// Appends `text` so that it stays inside a line and inside its quotes. JSON knows only \u; text uses \x.
void append_escaped(std::string& out, std::string_view text, LogFormat format) {
  auto as_number = [&](unsigned code) {
    std::array<char, 8> buffer{};
    std::snprintf(buffer.data(), buffer.size(), format == LogFormat::json ? "\\u%04x" : "\\x%02x", code & 0xFFFFu);
    out += buffer.data();
  };
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += kReplacement;
    } else if (length == 2 && c == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0) {
      as_number(static_cast<unsigned char>(text[1]));  // C1: some terminals obey them
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      as_number(c);
    } else {
      out += text[0];
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
}

bool is_bare(std::string_view value) noexcept {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7F && c != '"' && c != '=' &&
           c != '\\';
  });
}

std::string shortened(std::string_view value, std::size_t most) {
  if (value.size() <= most) return std::string(value);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0u) == 0x80u)
    --end;
  return std::string(value.substr(0, end)) + "...(+" + std::to_string(value.size() - end) + " bytes)";
}

// A field is a secret's if redact() would hide what follows its name.
std::string safe_value(const Field& field) {
  const std::string name(field.name);
  if (redact(name + "=secret") != name + "=secret") return "***";
  return redact(field.value);
}

LogLine safe_line(Severity severity, std::string_view message, std::initializer_list<Field> fields) {
  LogLine line{severity, redact(message), {}};
  line.fields.reserve(fields.size());
  for (const Field& field : fields)
    line.fields.emplace_back(std::string(field.name), safe_value(field));
  return line;
}

bool is_taken(std::string_view name) noexcept {
  return name == "time" || name == "severity" || name == "message" || name == "repeated" || name == "fields_left_out";
}

void append_json(std::string& out, const LogLine& line, const std::string& when, std::uint64_t repeated,
                 std::size_t most, std::size_t fields) {
  auto member = [&out](std::string_view name, std::string_view value) {
    out += out.back() == '{' ? "\"" : ",\"";
    append_escaped(out, name, LogFormat::json);
    out += "\":\"";
    append_escaped(out, value, LogFormat::json);
    out += '"';
  };
  out += '{';
  member("time", when);
  member("severity", word(line.severity));
  member("message", shortened(line.message, most));
  for (std::size_t i = 0; i < fields; ++i) {
    const auto& [name, value] = line.fields[i];
    member(is_taken(name) ? name + "_" : name, shortened(value, most));
  }
  if (fields < line.fields.size()) out += ",\"fields_left_out\":" + std::to_string(line.fields.size() - fields);
  if (repeated > 0) out += ",\"repeated\":" + std::to_string(repeated);
  out += '}';
}

void append_text(std::string& out, const LogLine& line, const std::string& when, std::uint64_t repeated,
                 std::size_t most, std::size_t fields) {
  out += when;
  out += ' ';
  out += word(line.severity);
  out += ' ';
  append_escaped(out, shortened(line.message, most), LogFormat::text);
  for (std::size_t i = 0; i < fields; ++i) {
    const auto& [name, value] = line.fields[i];
    const std::string text = shortened(value, most);
    out += ' ';
    append_escaped(out, name, LogFormat::text);
    out += is_bare(text) ? "=" : "=\"";
    append_escaped(out, text, LogFormat::text);
    if (!is_bare(text)) out += '"';
  }
  if (fields < line.fields.size()) out += " fields_left_out=" + std::to_string(line.fields.size() - fields);
  if (repeated > 0) out += " (repeated " + std::to_string(repeated) + " times)";
}

bool is_journal(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");  // "device:inode" of the descriptor systemd gave us
  struct stat about {};
  if (stream == nullptr || fstat(fd, &about) != 0) return false;
  return std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino) == stream;
}

}  // namespace

std::string rfc3339(WallTime at) {
  using namespace std::chrono;
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<milliseconds>(at - day));
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return buffer.data();
}

struct Log::Inside {
  Inside(const LogSettings& settings, const TimeSource& source, int descriptor)
      : time(source),
        fd(descriptor),
        format(settings.format),
        priorities(format == LogFormat::text ? isatty(descriptor) == 0 : is_journal(descriptor)),
        least(settings.level) {}

  std::string render(const LogLine& line, std::uint64_t count) const {
    const std::string when = rfc3339(time.wall());
    std::size_t most = std::string::npos;
    std::size_t fields = line.fields.size();
    for (;;) {
      std::string out;
      if (priorities) out = "<" + std::to_string(static_cast<int>(line.severity)) + ">";
      (format == LogFormat::json ? append_json : append_text)(out, line, when, count, most, fields);
      out += '\n';
      if (out.size() <= kLineBytes) return out;
      if (most > 2048) {
        most = 2048;
      } else if (most > 32) {
        most /= 2;
      } else if (fields > 0) {
        --fields;
      } else {
        out.resize(kLineBytes - 1);  // not reachable: message and time fit
        return out + '\n';
      }
    }
  }

  // True: the line is out.
  bool put(const std::string& bytes) {
    pollfd ready{fd, POLLOUT, 0};
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 || (ready.revents & (POLLERR | POLLNVAL)) != 0)
      return false;
    const std::string whole = torn ? "\n" + bytes : bytes;
    ssize_t n = 0;
    do {
      n = ::write(fd, whole.data(), whole.size());
    } while (n < 0 && errno == EINTR);
    if (n > 0) torn = static_cast<std::size_t>(n) < whole.size();  // a socket or a full disk took a part only
    return n == static_cast<ssize_t>(whole.size());
  }

  bool says(Severity severity) const noexcept {
    return static_cast<int>(severity) <= least.load(std::memory_order_relaxed);
  }

  void say(const LogLine& line, std::uint64_t count) {
    const std::uint64_t missing = dropped.load(std::memory_order_relaxed) - dropped_said;
    if (missing > 0) {
      const LogLine gap{Severity::warning, "log lines were dropped", {{"lines", std::to_string(missing)}}};
      if (put(render(gap, 0))) dropped_said += missing;
    }
    if (!put(render(line, count))) dropped.fetch_add(1, std::memory_order_relaxed);
  }

  const TimeSource& time;
  const int fd;
  const LogFormat format;
  const bool priorities;
  std::atomic<int> least;
  std::atomic<std::uint64_t> dropped{0};

  std::mutex mutex;  // protects what follows, and the order of lines
  LogRepeats repeats{[this](const LogLine& line, std::uint64_t count) { say(line, count); }};
  std::uint64_t dropped_said = 0;
  bool torn = false;
};

Log::Log(const LogSettings& settings, const TimeSource& time, int fd)
    : inside_(std::make_unique<Inside>(settings, time, fd)) {}

Log::~Log() {
  std::lock_guard lock(inside_->mutex);
  inside_->repeats.say_all();
}

void Log::write(Severity severity, std::string_view message, std::initializer_list<Field> fields) {
  if (!inside_->says(severity)) return;
  LogLine line = safe_line(severity, message, fields);
  std::lock_guard lock(inside_->mutex);
  inside_->repeats.take(std::move(line), inside_->time.now());
}

void Log::each(std::string_view message, std::initializer_list<Field> fields) {
  if (!inside_->says(Severity::info)) return;
  const LogLine line = safe_line(Severity::info, message, fields);
  std::lock_guard lock(inside_->mutex);
  inside_->say(line, 0);
}

void Log::say_repeats() {
  std::lock_guard lock(inside_->mutex);
  inside_->repeats.say_due(inside_->time.now());
}

void Log::set_level(Severity least) noexcept {
  inside_->least.store(static_cast<int>(least), std::memory_order_relaxed);
}

std::uint64_t Log::dropped() const noexcept { return inside_->dropped.load(std::memory_order_relaxed); }

}  // namespace ratchet
