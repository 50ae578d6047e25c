#include "levels/core/patience.hpp"

#include <thread>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;

namespace {
constexpr TimePoint kNow{std::chrono::hours(1)};
}

TEST_CASE("patience: only ever shrinks") {
  Patience patience(kNow + milliseconds(100));
  patience.shrink_to(kNow + milliseconds(200));
  CHECK(patience.left(kNow) == milliseconds(100));
  patience.shrink_to(kNow + milliseconds(50));
  CHECK(patience.left(kNow) == milliseconds(50));
  CHECK_FALSE(patience.over(kNow + milliseconds(49)));
  CHECK(patience.over(kNow + milliseconds(50)));
  CHECK(patience.left(kNow + milliseconds(80)) == Duration::zero());
}

TEST_CASE("patience: nobody naps past its end, nor longer than 20 ms without looking") {
  const Patience patience(kNow + milliseconds(30));
  CHECK(patience.nap(kNow) == kNow + milliseconds(20));
  CHECK(patience.nap(kNow + milliseconds(25)) == kNow + milliseconds(30));
}

TEST_CASE("patience: of many that shrink it at once the shortest wins") {
  Patience patience(kNow + std::chrono::hours(1));
  std::vector<std::thread> threads;
  for (int i = 1; i <= 4; ++i)
    threads.emplace_back([&patience, i] {
      for (int k = 1000; k >= 0; --k)
        patience.shrink_to(kNow + milliseconds(k * 4 + i));
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(patience.deadline() == kNow + milliseconds(1));
}
