#include "levels/2_broker/window.hpp"

#include "tests/support/catch.hpp"

using ratchet::kafka::Window;

TEST_CASE("window: acknowledgements count only without a gap") {
  Window window;
  window.open(4);
  window.sent(4);
  window.delivered({window.token(1), 0, ""}, false);
  CHECK(window.acknowledged() == 0);
  window.delivered({window.token(0), 0, ""}, false);
  CHECK(window.acknowledged() == 2);
  window.delivered({window.token(3), 0, ""}, false);
  CHECK(window.acknowledged() == 2);
  CHECK_FALSE(window.settled());
  window.delivered({window.token(2), 0, ""}, false);
  CHECK(window.acknowledged() == 4);
  CHECK(window.settled());
  CHECK_FALSE(window.failure());
}

TEST_CASE("window: the first failure is the cause, records taken back are none") {
  Window window;
  window.open(3);
  window.sent(3);
  window.delivered({window.token(0), -152, "purged"}, true);
  CHECK_FALSE(window.failure());
  window.delivered({window.token(2), 10, "too large"}, false);
  window.delivered({window.token(1), 29, "not allowed"}, false);
  REQUIRE(window.failure());
  CHECK(window.failure()->index == 2);
  CHECK(window.failure()->code == 10);
  CHECK(window.settled());
  CHECK(window.acknowledged() == 0);
}

TEST_CASE("window: what comes back of an earlier page does not count") {
  Window window;
  window.open(2);
  auto old = window.token(0);
  window.open(2);
  window.sent(1);
  window.delivered({old, 0, ""}, false);
  CHECK(window.acknowledged() == 0);
  CHECK_FALSE(window.settled());
  window.delivered({window.token(0), 0, ""}, false);
  CHECK(window.settled());
  CHECK(window.acknowledged() == 1);
}

TEST_CASE("window: a page of which nothing was sent is settled") {
  Window window;
  window.open(2);
  window.refused(0, -186, "bad");
  window.sent(0);
  CHECK(window.settled());
  CHECK(window.failure()->index == 0);
}

TEST_CASE("window: a record that was refused unsent and has gone another way counts as home") {
  Window window;
  window.open(3);
  window.delivered({window.token(0), 0, ""}, false);
  window.refused(1, 5, "no leader");
  window.sent(1);
  CHECK(window.settled());
  REQUIRE(window.failure());
  CHECK(window.failure()->unsent);
  window.passed(1);
  CHECK_FALSE(window.failure());
  CHECK(window.acknowledged() == 2);
  window.sent(3);
  CHECK_FALSE(window.settled());
  CHECK(window.missing(3) == std::vector<std::size_t>{2});
  window.delivered({window.token(2), 0, ""}, false);
  CHECK(window.settled());
  CHECK(window.acknowledged() == 3);
}
