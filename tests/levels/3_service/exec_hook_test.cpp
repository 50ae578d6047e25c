#include "levels/3_service/exec_hook.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/catch.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using namespace ratchet::service;
using ratchet::tests::comes_true;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Hook {
  explicit Hook(const std::string& script) {
    settings.type = RegistrarType::exec;
    settings.argv = {"/bin/sh", "-c", script, "hook", dir()};
    settings.address = ListenAddress{"10.0.0.7", 8080};
  }
  ~Hook() { ::unlink(file().c_str()), ::rmdir(dir().c_str()); }
  std::string dir() const { return folder; }
  std::string file() const { return folder + "/out"; }
  std::string written() const {
    std::ifstream in(file());
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  Told tell(Verb verb = Verb::register_, Duration time_to = seconds(30)) {
    Patience patience(time.now() + time_to);
    return ExecHook(settings, "orders-1", time).tell(verb, Leave::asked, patience);
  }

  static std::string made() {
    std::string name = "/tmp/ratchet-hook-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    return name;
  }
  const std::string folder = made();
  tests::RealTime time;
  RegistrarSettings settings;
};

bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }
bool is_gone(const std::string& pid) { return ::kill(std::stoi(pid), 0) != 0 && errno == ESRCH; }

}  // namespace

TEST_CASE("exec: the verb and who we are stand in the environment, and nothing of systemd's") {
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  Hook hook(
      R"(echo "$RATCHET_VERB $RATCHET_ID $RATCHET_ADDR $RATCHET_PORT $RATCHET_LEVEL ${NOTIFY_SOCKET-none} $1" >"$1/out")");
  CHECK(hook.tell(Verb::register_).word == Told::Word::done);
  CHECK(hook.written() == "register orders-1 10.0.0.7 8080 3 none " + hook.dir() + "\n");
  CHECK(hook.tell(Verb::deregister).word == Told::Word::done);
  CHECK(hook.written() == "deregister orders-1 10.0.0.7 8080 2 none " + hook.dir() + "\n");
  ::unsetenv("NOTIFY_SOCKET");
  CHECK(no_children());
}

TEST_CASE("exec: 75 means again, everything else failed, with the last line of what it wrote") {
  CHECK(Hook("exit 75").tell().word == Told::Word::again);
  const Told failed = Hook("echo first; echo 'no rights' >&2; exit 3").tell();
  CHECK(failed.word == Told::Word::failed);
  CHECK(failed.text == "exit status 3: no rights");
  CHECK(Hook("kill -9 $$").tell().text == "killed by signal 9");
  Hook missing("");
  missing.settings.argv = {"/no/such/program"};
  CHECK(missing.tell().word == Told::Word::failed);
  CHECK(missing.tell().text.find("/no/such/program") != std::string::npos);
  CHECK(no_children());
}

TEST_CASE("exec: one that hangs is killed with all it has started, and said so") {
  Hook hook(R"(trap '' TERM; sleep 1000 & echo $! >"$1/out"; echo working; wait)");
  const Told told = hook.tell(Verb::deregister, milliseconds(500));
  CHECK(told.word == Told::Word::again);
  CHECK(told.text == "killed: not ended in time: working");
  const std::string child = hook.written();
  REQUIRE_FALSE(child.empty());
  CHECK(comes_true([&] { return is_gone(child) || no_children(); }));
  CHECK(no_children());
}

TEST_CASE("exec: patience that shrinks ends it at once") {
  Hook hook("sleep 1000");
  Patience patience(hook.time.now() + seconds(1000));
  Told told;
  std::thread runner(
      [&] { told = ExecHook(hook.settings, "x", hook.time).tell(Verb::register_, Leave::asked, patience); });
  patience.shrink_to(hook.time.now());
  runner.join();
  CHECK(told.word == Told::Word::again);
  CHECK(no_children());
}

TEST_CASE("exec: a flood of output is read and not kept") {
  const Told told = Hook("head -c 50000000 /dev/zero | tr '\\0' x; exit 1").tell();
  CHECK(told.word == Told::Word::failed);
  CHECK(told.text.size() < 400);
  CHECK(told.text.find("longer than 64 KiB") != std::string::npos);
  CHECK(no_children());
}

TEST_CASE("exec: what it leaves behind holds nobody up, and goes") {
  Hook hook(R"(sleep 1000 & echo $! >"$1/out"; exit 0)");
  CHECK(hook.tell().word == Told::Word::done);
  const std::string child = hook.written();
  REQUIRE_FALSE(child.empty());
  // An orphan is init's to reap: dead is all that we can see of it.
  CHECK(comes_true([&] {
    std::ifstream stat("/proc/" + std::to_string(std::stoi(child)) + "/stat");
    std::string text;
    std::getline(stat, text);
    return text.empty() || text.find(") Z ") != std::string::npos;
  }));
  CHECK(no_children());
}
