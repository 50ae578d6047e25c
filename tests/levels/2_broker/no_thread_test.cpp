// A machine that gives no thread (TasksMax, RLIMIT_NPROC): a failed raise, never the end of the process.
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "tests/levels/2_broker/around.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"

using namespace ratchet;
using namespace ratchet::tests;

// In a process of its own, because there is no way back: hidden, run by the test below.
TEST_CASE("no thread: the process under the limit", "[.]") {
  Around around;
  const bool reaper_runs = std::getenv("RATCHET_TEST_REAPER_RUNS") != nullptr;
  if (reaper_runs) REQUIRE_FALSE(around.reaper->ready());
  const rlimit none{1, 1};
  if (::geteuid() == 0) REQUIRE(::setresuid(54321, 54321, 54321) == 0);  // root has no limit
  REQUIRE(::setrlimit(RLIMIT_NPROC, &none) == 0);
  for (int i = 0; i < 3; ++i) {  // again and again, as the ladder does
    auto made = kafka::Producer::create(broker_at("127.0.0.1:1"), 7, around.parts());
    REQUIRE_FALSE(made);
    CHECK(made.error().kind == FaultKind::out_of_files);
    CHECK(made.error().level == 2);
    CHECK(made.error().incarnation == 7);
    INFO(made.error().text);
    CHECK(made.error().text.find("hread") != std::string::npos);
  }
}

TEST_CASE("no thread: making a producer where no thread is to be had is a fault that says so") {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string name = "no thread: the process under the limit";
  const std::string no_leaks = "ASAN_OPTIONS=detect_leaks=0";  // LeakSanitizer looks with a thread of its own
  SECTION("for the reaper") { CHECK_NOTHROW(run({"env", no_leaks, self, name})); }
  SECTION("for the producer") { CHECK_NOTHROW(run({"env", no_leaks, "RATCHET_TEST_REAPER_RUNS=1", self, name})); }
}
