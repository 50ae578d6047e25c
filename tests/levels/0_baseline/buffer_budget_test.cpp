#include "levels/0_baseline/buffer_budget.hpp"

#include <sys/resource.h>

#include <fstream>
#include <string>

#include "tests/support/catch.hpp"

using ratchet::http::BufferBudget;
using ratchet::http::HeldBytes;

TEST_CASE("buffer budget: capacity is what counts, and all of it comes back") {
  BufferBudget budget(1'000'000);
  {
    HeldBytes a(budget), b(budget);
    REQUIRE(a.append("hello"));
    CHECK(budget.used() == HeldBytes::kLeast);
    REQUIRE(b.append(std::string(70'000, 'b')));
    CHECK(budget.used() == a.capacity() + b.capacity());
    CHECK(b.capacity() < 75'000);
    HeldBytes c(std::move(b));
    CHECK(b.empty());  // NOLINT: moved from is empty, that is the point
    CHECK(c.size() == 70'000);
    CHECK(budget.used() == a.capacity() + c.capacity());
    a = std::move(c);
    CHECK(budget.used() == a.capacity());
    CHECK(a.view() == std::string(70'000, 'b'));
  }
  CHECK(budget.used() == 0);
}

TEST_CASE("buffer budget: bytes stay what they are, however they grow and shrink") {
  BufferBudget budget(16'000'000);
  for (const std::size_t step : {1U, 7U, 255U, 4096U, 50'000U}) {
    HeldBytes held(budget);
    std::string wanted;
    while (wanted.size() < std::min<std::size_t>(3000 * step, 1'000'000)) {
      const std::string piece(step, static_cast<char>('a' + wanted.size() % 23));
      REQUIRE(held.append(piece));
      wanted += piece;
    }
    CHECK(held.view() == wanted);
    while (!wanted.empty()) {
      const std::size_t front = std::min(wanted.size(), wanted.size() / 3 + 1);
      held.drop_front(front);
      wanted.erase(0, front);
      REQUIRE(held.view() == wanted);
      REQUIRE(held.capacity() <= std::max(2 * HeldBytes::kLeast, 2 * wanted.size() + 2 * 4096));
    }
    CHECK(budget.used() == 0);
  }
}

TEST_CASE("buffer budget: a size that is expected is approached in steps and not passed") {
  BufferBudget budget(16'000'000);
  HeldBytes held(budget);
  constexpr std::size_t kExpected = 1'048'576 + 200;
  const std::string piece(10'000, 'a');
  while (held.size() + piece.size() <= kExpected) {
    const std::size_t needed = held.size() + piece.size();
    REQUIRE(held.append(piece, kExpected));
    CHECK(held.capacity() <= std::max(2 * needed, needed + 4096));
    CHECK(held.capacity() <= kExpected + 4096);
  }
}

TEST_CASE("buffer budget: what is refused changes nothing") {
  BufferBudget budget(10'000);
  HeldBytes a(budget), b(budget);
  REQUIRE(a.append(std::string(8000, 'a')));
  const std::size_t used = budget.used();
  CHECK_FALSE(b.append(std::string(3000, 'b')));
  CHECK_FALSE(a.append(std::string(3000, 'a')));
  CHECK(budget.used() == used);
  CHECK(a.view() == std::string(8000, 'a'));
  CHECK(b.empty());
  a.clear();
  CHECK(b.append(std::string(3000, 'b')));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("buffer budget: what the system does not have is refused, not thrown, and what is given back is gone") {
  const auto pages = [](int which) {
    std::ifstream statm("/proc/self/statm");
    std::size_t total = 0, resident = 0;
    statm >> total >> resident;
    return which == 0 ? total : resident;
  };
  BufferBudget budget(1'000'000'000);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit tight = before;
  tight.rlim_cur = pages(0) * 4096 + 32'000'000;
  const std::string block(1'000'000, 'x');
  const std::size_t resident = pages(1);
  {
    HeldBytes held(budget);
    REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
    std::size_t taken = 0;
    while (taken < 100 && held.append(block))
      ++taken;
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(taken >= 8);
    CHECK(taken < 100);
    CHECK(held.size() == taken * block.size());
    CHECK(budget.used() == held.capacity());
  }
  CHECK(budget.used() == 0);
  CHECK(pages(1) < resident + 1000);
}
#endif
