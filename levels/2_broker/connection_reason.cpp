#include "levels/2_broker/connection_reason.hpp"

#include <algorithm>

#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {

std::string short_reason(std::string_view text) {
  std::string_view where;
  if (auto scheme = text.find("://"); scheme != std::string_view::npos && scheme < text.find(' ')) {
    text.remove_prefix(scheme + 3);
  }
  if (auto colon = text.find(": "); colon != std::string_view::npos) {
    where = text.substr(0, std::min(colon, text.find('/')));
    text.remove_prefix(colon + 2);
  }
  if (auto failed = text.find(" failed: "); failed != std::string_view::npos) text.remove_prefix(failed + 9);
  if (auto after = text.find(" (after "); after != std::string_view::npos) text = text.substr(0, after);
  std::string reason(text);
  if (reason.size() > 1 && reason[0] >= 'A' && reason[0] <= 'Z' && reason[1] >= 'a') {
    reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  }
  return where.empty() ? reason : std::string(where) + ": " + reason;
}

FaultKind ConnectionReason::kind() const noexcept {
  const FaultKind known = fault_kind(code);
  if (known != FaultKind::refused) return known;
  if (text.find("timed out") != std::string::npos) return FaultKind::timed_out;
  if (text.find("refused") != std::string::npos) return FaultKind::refused;
  return FaultKind::connection_lost;
}

}  // namespace ratchet::kafka
