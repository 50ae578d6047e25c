#include "levels/core/fault.hpp"

#include <set>

#include "tests/support/catch.hpp"

using namespace ratchet;

TEST_CASE("fault: every kind has its own word") {
  std::set<std::string_view> words;
  constexpr int kKinds = static_cast<int>(FaultKind::unknown) + 1;
  for (int kind = 0; kind < kKinds; ++kind)
    words.insert(to_string(static_cast<FaultKind>(kind)));
  CHECK(words.size() == static_cast<std::size_t>(kKinds));
  CHECK(to_string(FaultKind::timed_out) == "timed_out");
}

TEST_CASE("fault: what only a person can mend is told apart from what mends itself") {
  CHECK(needs_a_person(FaultKind::authentication));
  CHECK(needs_a_person(FaultKind::schema_missing));
  CHECK(needs_a_person(FaultKind::topic_missing));
  CHECK_FALSE(needs_a_person(FaultKind::refused));
  CHECK_FALSE(needs_a_person(FaultKind::standby_away));
  CHECK(ends_at_once(FaultKind::standby_away));
  CHECK(ends_at_once(FaultKind::disk_stuck));
  CHECK_FALSE(ends_at_once(FaultKind::refused));
  CHECK_FALSE(needs_a_person(FaultKind::address_in_use));
}
