#include "daemon/ctl/text.hpp"

namespace ratchet::ctl {
namespace {

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string level_line(const Json& level) {
  std::string line = level.value("held", false) ? "  * " : "  - ";
  line += std::to_string(level.value("level", 0)) + " " + text_of(level, "name");
  line += (level.value("held", false) ? ", held since " : ", not held since ") + text_of(level, "since");
  if (const auto degraded = text_of(level, "degraded"); !degraded.empty()) line += "\n      degraded: " + degraded;
  if (const auto next = text_of(level, "next_attempt"); !next.empty())
    line += "\n      next attempt " + next + " (" + std::to_string(level.value("attempts", 0)) + " so far)";
  if (const auto fault = level.find("last_fault"); fault != level.end() && fault->is_object())
    line += "\n      last fault " + text_of(*fault, "at") + ": " + text_of(*fault, "text");
  return line + "\n";
}

std::string pool_lines(const Json& pool) {
  const auto count = [&pool](const char* key) { return std::to_string(pool.value(key, 0)); };
  std::string line = (pool.value("open", 0) > 0 ? "  * " : "  - ") + text_of(pool, "name") + " " + text_of(pool, "role");
  line += pool.value("required", true) ? ", required" : ", optional";
  if (pool.value("outbox", false)) line += ", outbox";
  line += ": " + count("open") + " of " + count("wanted") + " connections, " + count("idle") + " idle\n";
  if (const auto next = text_of(pool, "next_attempt"); !next.empty()) line += "      next attempt " + next + "\n";
  if (const auto error = pool.find("last_error"); error != pool.end() && error->is_object())
    line += "      last error " + text_of(*error, "at") + ": " + text_of(*error, "text") + "\n";
  return line;
}

}  // namespace

std::string to_text(const Json& answer) {
  if (answer.contains("pools")) {
    std::string lines;
    for (const auto& pool : answer["pools"])
      lines += pool_lines(pool);
    lines.pop_back();
    return lines;
  }
  if (!answer.contains("levels")) return text_of(answer, "done");
  std::string out = text_of(answer, "instance") + " (ratchetd " + text_of(answer, "version") + "): level " +
                    std::to_string(answer.value("held", 0)) + " of " + std::to_string(answer.value("ceiling", 3)) +
                    ", " + text_of(answer, "doing") + " since " + text_of(answer, "since") + "\n";
  for (auto level = answer["levels"].rbegin(); level != answer["levels"].rend(); ++level)
    out += level_line(*level);
  for (const auto& alarm : answer["alarms"])
    out += "  ! " + text_of(alarm, "id") + " since " + text_of(alarm, "since") + ": " + text_of(alarm, "text") + "\n";
  out.pop_back();
  return out;
}

}  // namespace ratchet::ctl
