#include "levels/2_broker/connection_reason.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {

namespace {

std::optional<int> node_of(std::string_view text) {
  int id = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (wrong != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

}  // namespace

Told read_reason(std::string_view text) {
  Told told;
  if (auto scheme = text.find("://"); scheme != std::string_view::npos && scheme < text.find(' ')) {
    text.remove_prefix(scheme + 3);
  }
  if (auto colon = text.find(": "); colon != std::string_view::npos) {
    const auto slash = std::min(colon, text.find('/'));
    told.where = text.substr(0, slash);
    if (slash < colon) told.node = node_of(text.substr(slash + 1, colon - slash - 1));
    text.remove_prefix(colon + 2);
  }
  if (auto failed = text.find(" failed: "); failed != std::string_view::npos) text.remove_prefix(failed + 9);
  if (auto after = text.find(" (after "); after != std::string_view::npos) text = text.substr(0, after);
  std::string reason(text);
  if (reason.size() > 1 && reason[0] >= 'A' && reason[0] <= 'Z' && reason[1] >= 'a') {
    reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  }
  told.reason = std::move(reason);
  return told;
}

std::string short_reason(std::string_view text) {
  Told told = read_reason(text);
  return told.where.empty() ? told.reason : told.where + ": " + told.reason;
}

FaultKind ConnectionReason::kind() const noexcept {
  const FaultKind known = fault_kind(code);
  if (known != FaultKind::refused) return known;
  if (text.find("timed out") != std::string::npos) return FaultKind::timed_out;
  if (text.find("refused") != std::string::npos) return FaultKind::refused;
  return FaultKind::connection_lost;
}

}  // namespace ratchet::kafka
