#include "daemon/signals.hpp"

#include <unistd.h>

#include <csignal>

#include "tests/daemon/fake_level.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE("signals: SIGHUP, a restart announced, two stops and the way out at once become mail and a call") {
  block_signals();
  Mailbox mailbox;
  std::atomic<int> thirds{0};
  std::atomic<int> restarts{0};
  Signals signals(
      mailbox, [&] { ++thirds; }, [&] { ++restarts; });

  ::kill(::getpid(), SIGUSR1);
  REQUIRE(eventually([&] { return restarts == 1; }));

  bool hangup = false;
  ::kill(::getpid(), SIGHUP);
  REQUIRE(eventually([&] { return hangup |= mailbox.wait(std::chrono::milliseconds(50)).hangup; }));

  unsigned stops = 0;
  auto stopped = [&](unsigned n) {
    return eventually([&] { return (stops += mailbox.wait(std::chrono::milliseconds(50)).stops) == n; });
  };
  ::kill(::getpid(), SIGTERM);
  REQUIRE(stopped(1));
  ::kill(::getpid(), SIGINT);
  REQUIRE(stopped(2));
  ::kill(::getpid(), SIGTERM);
  REQUIRE(eventually([&] { return thirds == 1; }));
  CHECK(mailbox.wait(Duration::zero()).stops == 0);
}
