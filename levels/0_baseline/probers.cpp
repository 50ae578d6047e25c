#include "levels/0_baseline/probers.hpp"

#include <algorithm>

namespace ratchet {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstGuess = seconds(5);   // a prober's interval before its second probe; HAProxy's default is 2 s
constexpr Duration kLeastBelief = seconds(2);  // a hiccup of a prober that asks many times a second is no silence
constexpr Duration kLongestInterval = seconds(60);
constexpr Duration kDoubt = seconds(3);  // longer than HAProxy's default interval
constexpr unsigned kRegular = 6;
constexpr std::size_t kMostKeyBytes = 256;

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

// "0", "0/22": HAProxy writes ours/all.
bool begins_with_zero(std::string_view number) noexcept { return number.substr(0, number.find('/')) == "0"; }

}  // namespace

std::optional<HaproxyState> parse_haproxy_state(std::string_view header) {
  HaproxyState state;
  std::string_view name, node;
  const std::string_view word = header.substr(0, header.find_first_of("; \t"));
  state.stopped = word == "NOLB" || word == "DOWN";
  while (!header.empty()) {
    const std::size_t end = std::min(header.find(';'), header.size());
    const std::string_view part = trimmed(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = part.substr(equals + 1);
    if (key == "name") name = value;
    if (key == "node") node = value;
    if (key == "weight" && begins_with_zero(value)) state.stopped = true;
    if (key == "scur") state.idle = begins_with_zero(value);
  }
  if (name.empty() || node.empty() || name.size() + node.size() >= kMostKeyBytes) return std::nullopt;
  state.key.append(node).append(" ").append(name);
  return state;
}

bool Probers::Seen::is_live(TimePoint now) const noexcept {
  return now - at <= std::max(kLeastBelief, 3 * interval.value_or(kFirstGuess));
}

void Probers::Seen::asks_again(TimePoint now) {
  if (is_live(now)) {
    row = std::min(row + 1, kRegular);
  } else {
    row = 1;
    row_since = now;
  }
  // HAProxy probes faster while a state changes: forget a longer interval slowly, or it would seem gone afterwards.
  const Duration before = interval.value_or(Duration::zero());
  if (const Duration gap = now - at; gap <= kLongestInterval) interval = std::max(gap, before - before / 4);
  at = now;
}

// Null: there is no room. `displaces`: somebody who only passes by may have to go.
Probers::Seen* Probers::find_or_add(Table& table, std::string_view key, TimePoint now, bool displaces) {
  if (const auto known = table.find(key); known != table.end()) {
    known->second.asks_again(now);
    return &known->second;
  }
  if (table.size() >= kMost) std::erase_if(table, [now](const auto& one) { return !one.second.is_live(now); });
  if (table.size() >= kMost && displaces) {
    const auto least = std::min_element(table.begin(), table.end(), [](const auto& a, const auto& b) {
      return a.second.row != b.second.row ? a.second.row < b.second.row : a.second.at < b.second.at;
    });
    if (least->second.row < kRegular && !least->second.speaks) table.erase(least);
  }
  if (table.size() >= kMost) return nullptr;
  Seen& added = table.emplace(key, Seen{}).first->second;
  added.at = added.row_since = now;
  return &added;
}

void Probers::heard(const HaproxyState& word, TimePoint now) {
  Seen* const node = find_or_add(nodes_, word.key, now, false);
  if (node == nullptr) {
    too_many_at_ = now;
    return;
  }
  node->speaks = true;
  node->stopped = word.stopped;
  node->idle = word.idle;
}

void Probers::asked(std::string_view from, bool listed, bool speaks, TimePoint now) {
  if (Seen* const asker = find_or_add(listed ? listed_ : strangers_, from, now, true)) asker->speaks = speaks;
}

void Probers::is_done(const std::string& key, TimePoint now) {
  const auto at = nodes_.find(key);
  if (at == nodes_.end()) return;
  at->second.stopped = at->second.idle = true;
  at->second.at = now;
}

void Probers::drains(TimePoint now) {
  draining_since_ = now;
  for (auto& [key, node] : nodes_)
    node.stopped = node.idle = false;
}

// One that has been told that we leave may have stopped asking since.
bool Probers::is_prober(const Seen& asker, TimePoint now) const noexcept {
  if (asker.speaks) return true;
  if (asker.row >= kRegular) return asker.is_live(draining_since_.value_or(now));
  return draining_since_ && asker.row > 1 && asker.at > *draining_since_ && asker.row_since <= *draining_since_;
}

void Probers::look_at_nodes(View& view, TimePoint now) const {
  bool stopped = true, idle = true;
  for (const auto& [key, node] : nodes_) {
    if (!node.is_live(now)) continue;
    ++view.nodes;
    stopped = stopped && node.stopped;
    idle = idle && node.idle;
    if (!node.stopped || !node.idle) view.waits_for = key;
  }
  if (too_many_at_ && now - *too_many_at_ <= kLongestInterval) {
    stopped = false;
    if (view.waits_for.empty()) view.waits_for = "more nodes than can be remembered";
  }
  view.all_stopped = view.nodes > 0 && stopped;
  view.all_idle = view.all_stopped && idle;
}

void Probers::look_at_asker(View& view, const std::string& from, const Seen& asker, TimePoint now, bool settled) const {
  if (settled && !is_prober(asker, now)) {
    if (draining_since_ && asker.row_since > *draining_since_) return;  // it was never told yes
    const Duration gap = asker.interval ? *asker.interval + *asker.interval / 2 : kDoubt;
    const TimePoint until = asker.at + std::min(gap, kDoubt);
    view.doubt_until = std::max(view.doubt_until.value_or(until), until);
    return;
  }
  view.last_probe = std::max(view.last_probe.value_or(asker.at), asker.at);
  if (view.slowest.empty()) view.slowest = from;
  // An interval outlives its prober: who has just been told that we leave may have stopped asking.
  if (!asker.interval || now - asker.at > kLongestInterval || asker.interval <= view.interval) return;
  view.interval = asker.interval;
  view.slowest = from;
}

Probers::View Probers::look(TimePoint now, bool settled) const {
  View view;
  look_at_nodes(view, now);
  for (const Table* table : {&nodes_, &listed_, &strangers_}) {
    for (const auto& [from, asker] : *table)
      look_at_asker(view, from, asker, now, settled && table != &nodes_);
  }
  return view;
}

}  // namespace ratchet
