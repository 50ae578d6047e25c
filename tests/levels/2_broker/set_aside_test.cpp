#include "levels/2_broker/set_aside.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::kafka;
using namespace std::chrono_literals;

namespace {

const TimePoint kNow{std::chrono::hours(1)};
constexpr std::optional<std::string_view> kNoKey;

TopicTrouble whole() { return {3, "Broker: Unknown topic or partition", {}, 0, false}; }
TopicTrouble one_of_three(int partition) { return {5, "no leader", {partition}, 3, false}; }

}  // namespace

TEST_CASE("set aside: nothing is known against a topic that was not put aside") {
  SetAside aside;
  CHECK(aside.find("a", kNoKey) == nullptr);
  CHECK_FALSE(aside.due(kNow));
  aside.put("b", whole(), kNow);
  CHECK(aside.find("a", kNoKey) == nullptr);
  REQUIRE(aside.find("b", "k") != nullptr);
  CHECK(aside.find("b", "k")->code == 3);
}

TEST_CASE("set aside: of a topic with one leaderless partition only that one's keys are, and what has no key") {
  SetAside aside;
  const int of_k = one_of_three(0).partition_of("k");
  aside.put("t", one_of_three(of_k), kNow);
  CHECK(aside.find("t", "k") != nullptr);
  CHECK(aside.find("t", kNoKey) != nullptr);
  std::string other = "x";
  while (one_of_three(0).partition_of(other) == of_k)
    other += "x";
  CHECK(aside.find("t", other) == nullptr);
}

TEST_CASE("set aside: a key's partition is the one that Java's clients choose") {
  const TopicTrouble trouble{5, "", {}, 100, false};
  CHECK(trouble.partition_of("kafka") == 1348980580 % 100);  // murmur2, sign bit cleared
}

TEST_CASE("set aside: the broker is asked every five seconds, and a topic it sees nothing wrong with is well again") {
  SetAside aside;
  aside.put("a", whole(), kNow);
  aside.put("b", whole(), kNow);
  CHECK_FALSE(aside.due(kNow + 4999ms));
  CHECK(aside.due(kNow + 5s));
  CHECK(aside.names() == std::vector<std::string>{"a", "b"});
  CHECK(aside.told(nullptr, kNow + 5s).empty());  // no answer
  CHECK(aside.names().size() == 2);
  CHECK_FALSE(aside.due(kNow + 9s));
  const std::map<std::string, TopicTrouble> troubles{{"b", one_of_three(1)}};
  CHECK(aside.told(&troubles, kNow + 10s) == std::vector<std::string>{"a"});
  CHECK(aside.find("a", "k") == nullptr);
  CHECK(aside.find("b", kNoKey)->code == 5);
}

TEST_CASE("set aside: a topic that looks well and takes nothing is tried again after minutes") {
  SetAside aside;
  aside.put("a", {7, "no acknowledgement", {}, 0, true}, kNow);
  const std::map<std::string, TopicTrouble> none;
  CHECK(aside.told(&none, kNow + 5s).empty());
  CHECK(aside.find("a", "k") != nullptr);
  CHECK(aside.told(&none, kNow + SetAside::kMute) == std::vector<std::string>{"a"});
}

TEST_CASE("set aside: it is bounded; the one put aside first is forgotten") {
  SetAside aside;
  for (std::size_t i = 0; i <= SetAside::kMost; ++i)
    aside.put("t" + std::to_string(i), whole(), kNow + std::chrono::milliseconds(i));
  CHECK(aside.names().size() == SetAside::kMost);
  CHECK(aside.find("t0", kNoKey) == nullptr);
  CHECK(aside.find("t1", kNoKey) != nullptr);
  aside.put("t1", whole(), kNow + 1s);  // again: makes no room
  CHECK(aside.names().size() == SetAside::kMost);
  CHECK(aside.find("t2", kNoKey) != nullptr);
}
