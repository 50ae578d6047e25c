#include "levels/2_broker/set_aside.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {

void SetAside::put(const std::string& topic, TopicTrouble trouble, TimePoint now) {
  if (topics_.size() >= kMost && topics_.count(topic) == 0) {
    topics_.erase(std::min_element(topics_.begin(), topics_.end(),
                                   [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
  }
  if (topics_.empty()) look_at_ = now + kLook;
  topics_.insert_or_assign(topic, One{std::move(trouble), now});
}

const TopicTrouble* SetAside::find(std::string_view topic, const std::optional<std::string_view>& key) const {
  if (topics_.empty()) return nullptr;
  auto found = topics_.find(topic);
  if (found == topics_.end()) return nullptr;
  const TopicTrouble& trouble = found->second.trouble;
  // Where a record without a key goes is left to chance.
  return !key || trouble.partitions.empty() || trouble.partitions.count(trouble.partition_of(*key)) != 0 ? &trouble
                                                                                                         : nullptr;
}

std::vector<std::string> SetAside::names() const {
  std::vector<std::string> names;
  for (const auto& [name, one] : topics_)
    names.push_back(name);
  return names;
}

std::vector<std::string> SetAside::told(const std::map<std::string, TopicTrouble>* troubles, TimePoint now) {
  std::vector<std::string> well;
  look_at_ = now + kLook;
  if (troubles == nullptr) return well;
  for (auto at = topics_.begin(); at != topics_.end();) {
    auto found = troubles->find(at->first);
    if (found != troubles->end()) {
      at->second.trouble = found->second;
    } else if (!at->second.trouble.mute || now - at->second.since >= kMute) {
      well.push_back(at->first);
      at = topics_.erase(at);
      continue;
    }
    ++at;
  }
  return well;
}

}  // namespace ratchet::kafka
