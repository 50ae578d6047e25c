// Topics that no route requires and that take no record: an SQL writer named them, and they have no leader. What is
// meant for them goes to the dead letters at once, until the broker shows that they can be written again. Bounded: who
// writes SQL names topics. Pure; one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

class SetAside {
 public:
  static constexpr std::size_t kMost = 256;                   // topics; one more makes room by forgetting the oldest
  static constexpr Duration kLook = std::chrono::seconds(5);  // between two questions whether they are well again
  static constexpr Duration kMute = std::chrono::minutes(5);  // a topic that looks well and takes nothing

  void put(const std::string& topic, TopicTrouble trouble, TimePoint now);
  bool empty() const noexcept { return topics_.empty(); }
  // Why a record with this key is not taken; null: nothing is known against it.
  const TopicTrouble* find(std::string_view topic, const std::optional<std::string_view>& key) const;

  // It is time to ask the broker about `names`.
  bool due(TimePoint now) const noexcept { return !topics_.empty() && now >= look_at_; }
  std::vector<std::string> names() const;
  // What it said: those in trouble. Which of the others are well again. Without an answer (null) all stays as it was.
  std::vector<std::string> told(const std::map<std::string, TopicTrouble>* troubles, TimePoint now);

 private:
  struct One {
    TopicTrouble trouble;
    TimePoint since;
  };
  std::map<std::string, One, std::less<>> topics_;
  TimePoint look_at_{};
};

}  // namespace ratchet::kafka
