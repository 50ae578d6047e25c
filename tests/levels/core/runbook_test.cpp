#include "levels/core/runbook.hpp"

#include <set>

#include "tests/support/catch.hpp"

using namespace ratchet;

TEST_CASE("runbook: every kind of fault has one line of its own that says what to do") {
  std::set<std::string_view> lines;
  for (int kind = 0; kind <= static_cast<int>(FaultKind::unknown); ++kind) {
    const auto line = runbook(static_cast<FaultKind>(kind));
    INFO(to_string(static_cast<FaultKind>(kind)));
    CHECK(line.size() > 20);
    CHECK(line.size() <= 160);
    CHECK(line.ends_with("."));
    CHECK(line.find('\n') == std::string_view::npos);
    lines.insert(line);
  }
  CHECK(lines.size() == static_cast<std::size_t>(FaultKind::unknown) + 1);
}

TEST_CASE("runbook: the line names the command that mends it") {
  CHECK(runbook(FaultKind::schema_missing).find("ratchetd migrate") != std::string_view::npos);
  CHECK(runbook(FaultKind::address_in_use).find("ss -ltnp") != std::string_view::npos);
  CHECK(runbook(FaultKind::out_of_files).find("LimitNOFILE") != std::string_view::npos);
}
