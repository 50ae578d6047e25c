#include "levels/0_baseline/log.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

#include "levels/0_baseline/alarm_board.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using ratchet::tests::ManualTime;

namespace {

class Pipe {
 public:
  Pipe() {
    REQUIRE(pipe2(ends_, O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends_[0], F_SETFL, O_NONBLOCK) == 0);
  }
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  int in() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }
  std::string read_all() {
    std::string all;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(ends_[0], buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<size_t>(n));
    return all;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> lines;
    std::istringstream text(read_all());
    for (std::string line; std::getline(text, line);)
      lines.push_back(line);
    return lines;
  }

 private:
  int ends_[2]{-1, -1};
};

LogSettings as(LogFormat format, int level = 7) {
  LogSettings settings;
  settings.format = format;
  settings.level = level;
  return settings;
}

}  // namespace

TEST_CASE("log: a text line has priority, time, severity, message and fields") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text), time, pipe.in());
  log.notice("level raised", {{"level", "3"}, {"why", "all is well"}, {"empty", ""}});
  CHECK(pipe.read_all() ==
        "<5>" + rfc3339(time.wall()) + " notice level raised level=3 why=\"all is well\" empty=\"\"\n");
}

TEST_CASE("log: times are RFC 3339 with milliseconds, in UTC") {
  CHECK(rfc3339(WallTime(std::chrono::milliseconds(1795255200123))) == "2026-11-21T10:00:00.123Z");
  CHECK(rfc3339(WallTime(std::chrono::milliseconds(-1))) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("log: what comes from outside cannot forge a line") {
  const std::string evil =
      "x\n<3>forged error\r\x1b[2J\x7f \"q\" \\ \xc2\x9b"
      "31m \xff\xfe";
  SECTION("text") {
    Pipe pipe;
    ManualTime time;
    Log log(as(LogFormat::text), time, pipe.in());
    log.warning("odd request", {{"path", evil}});
    const auto lines = pipe.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find(
              "path=\"x\\n<3>forged error\\r\\x1b[2J\\x7f \\\"q\\\" \\\\ \\x9b31m \xef\xbf\xbd\xef\xbf\xbd\"") !=
          std::string::npos);
  }
  SECTION("JSON") {
    Pipe pipe;
    ManualTime time;
    Log log(as(LogFormat::json), time, pipe.in());
    log.warning("odd request", {{"path", evil}, {"severity", "notice"}});
    const auto lines = pipe.lines();
    REQUIRE(lines.size() == 1);
    const auto json = nlohmann::json::parse(lines[0]);
    CHECK(json["severity"] == "warning");
    CHECK(json["severity_"] == "notice");
    CHECK(json["message"] == "odd request");
    CHECK(json["time"] == rfc3339(time.wall()));
    CHECK(json["path"] ==
          "x\n<3>forged error\r\x1b[2J\x7f \"q\" \\ \xc2\x9b"
          "31m \xef\xbf\xbd\xef\xbf\xbd");
    for (const char c : lines[0])
      CHECK(static_cast<unsigned char>(c) >= 0x20);
  }
}

TEST_CASE("log: invalid UTF-8 of every kind becomes the replacement character") {
  struct Row {
    const char* bytes;
    const char* seen;
  };
  const Row rows[] = {{"\xc3\xa4", "\xc3\xa4"},
                      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
                      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                  // overlong
                      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                  // surrogate
                      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // beyond U+10FFFF
                      {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}};                                 // cut short
  for (const Row& row : rows) {
    Pipe pipe;
    ManualTime time;
    Log log(as(LogFormat::json), time, pipe.in());
    log.info("m", {{"v", row.bytes}});
    CHECK(nlohmann::json::parse(pipe.read_all())["v"] == row.seen);
  }
}

TEST_CASE("log: a full pipe never blocks; what is lost is counted and said") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::json), time, pipe.in());
  const int many = 20'000;
  for (int i = 0; i < many; ++i)
    log.info("line", {{"i", std::to_string(i)}, {"fill", std::string(50, 'x')}});
  const auto before = pipe.lines();
  CHECK(before.size() < many);
  CHECK(log.dropped() == many - before.size());
  CHECK(nlohmann::json::parse(before.back())["i"] == std::to_string(before.size() - 1));

  log.info("again");
  const auto after = pipe.lines();
  REQUIRE(after.size() == 2);
  CHECK(nlohmann::json::parse(after[0])["message"] == "log lines were dropped");
  CHECK(nlohmann::json::parse(after[0])["lines"] == std::to_string(log.dropped()));
  CHECK(nlohmann::json::parse(after[1])["message"] == "again");
}

TEST_CASE("log: a reader that has gone costs lines, not the process") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text), time, pipe.in());
  pipe.close_reader();
  log.info("nobody reads this");
  CHECK(log.dropped() == 1);
}

TEST_CASE("log: long lines are shortened so that a pipe takes them whole, and say so") {
  for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
    Pipe pipe;
    ManualTime time;
    Log log(as(format), time, pipe.in());
    std::string umlauts;
    for (int i = 0; i < 5000; ++i)
      umlauts += "\xc3\xa4";
    log.info("long", {{"a", umlauts}, {"b", std::string(3000, '\n')}, {"c", "short"}});
    const auto lines = pipe.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].size() < 4096);
    CHECK(lines[0].find("bytes)") != std::string::npos);
    CHECK(lines[0].find("short") != std::string::npos);
    CHECK(lines[0].find("\xef\xbf\xbd") == std::string::npos);
    if (format == LogFormat::json) CHECK(nlohmann::json::parse(lines[0])["c"] == "short");
  }
}

TEST_CASE("log: repeats in a row are folded and counted") {
  Pipe pipe;
  ManualTime time;
  {
    Log log(as(LogFormat::text), time, pipe.in());
    for (int i = 0; i < 13; ++i)
      log.warning("database refused", {{"level", "1"}});
    REQUIRE(pipe.lines().size() == 1);

    SECTION("the count is said when something else comes") {
      log.warning("database refused", {{"level", "2"}});
      const auto lines = pipe.lines();
      REQUIRE(lines.size() == 2);
      CHECK(lines[0].find("warning database refused level=1 (repeated 12 times)") != std::string::npos);
      CHECK(lines[1].find("warning database refused level=2") != std::string::npos);
    }
    SECTION("or after a while of repeating") {
      time.advance(std::chrono::seconds(10));
      log.warning("database refused", {{"level", "1"}});
      const auto lines = pipe.lines();
      REQUIRE(lines.size() == 1);
      CHECK(lines[0].find("(repeated 13 times)") != std::string::npos);
    }
    SECTION("or by being asked, once it is due") {
      log.say_repeats();
      CHECK(pipe.lines().empty());
      time.advance(std::chrono::seconds(10));
      log.say_repeats();
      log.say_repeats();
      const auto lines = pipe.lines();
      REQUIRE(lines.size() == 1);
      CHECK(lines[0].find("(repeated 12 times)") != std::string::npos);
    }
    SECTION("or at the end") {}
  }
  const auto lines = pipe.lines();
  CHECK((lines.empty() || lines[0].find("(repeated 12 times)") != std::string::npos));
}

TEST_CASE("log: repeats that alternate with others are folded and counted, too") {
  Pipe pipe;
  ManualTime time;
  const auto count = [](const std::vector<std::string>& lines, const std::string& what) {
    return std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return line.find(what) != std::string::npos; });
  };
  {
    Log log(as(LogFormat::text), time, pipe.in());
    for (int i = 0; i < 1000; ++i) {
      log.warning("cannot accept", {{"port", "1"}});
      log.warning("level lost", {{"level", "1"}});
      if (i % 2 == 0) log.warning("raise failed", {{"level", "1"}});
    }
    auto lines = pipe.lines();
    CHECK(lines.size() == 9);
    CHECK(count(lines, "cannot accept") == 3);
    time.advance(std::chrono::seconds(10));
    log.say_repeats();
    log.say_repeats();
    lines = pipe.lines();
    CHECK(lines.size() == 3);
    CHECK(count(lines, "cannot accept port=1 (repeated 997 times)") == 1);
    CHECK(count(lines, "raise failed level=1 (repeated 497 times)") == 1);
    log.warning("cannot accept", {{"port", "1"}});  // a new window
    CHECK(pipe.lines().size() == 1);
    for (int i = 0; i < 5; ++i) {
      log.warning("level lost", {{"level", "1"}});
      log.warning("cannot accept", {{"port", "1"}});
    }
    pipe.lines();
  }
  const auto lines = pipe.lines();  // at the end
  CHECK(count(lines, "(repeated ") == 2);
}

TEST_CASE("log: what happened is said each time, however often it is the same") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text), time, pipe.in());
  for (int i = 0; i < 20; ++i) {
    log.each("request", {{"path", "/a"}});
    log.each("request", {{"path", "/b"}});
  }
  CHECK(pipe.lines().size() == 40);
  log.each("request", {{"path", "/\n<3>forged"}, {"dsn", "postgres://u:secret@h/d"}});
  const auto lines = pipe.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("secret") == std::string::npos);
}

TEST_CASE("log: what repeats is remembered among many lines that come once, within bounds") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text), time, pipe.in());
  std::size_t said = 0;
  for (int i = 0; i < 1000; ++i) {
    log.warning("cannot accept", {{"port", "1"}});
    log.warning("another", {{"number", std::to_string(i)}});
    for (const auto& line : pipe.lines())
      if (line.find("cannot accept") != std::string::npos) ++said;
  }
  CHECK(said == 3);
  for (int i = 0; i < 200; ++i) {  // none of them fits beside another, and all are said
    log.warning("long", {{"number", std::to_string(i)}, {"value", std::string(100'000, 'x')}});
    CHECK(pipe.lines().size() >= 1);
  }
}

TEST_CASE("log: secrets never reach the log") {
  for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
    Pipe pipe;
    ManualTime time;
    Log log(as(format), time, pipe.in());
    log.error("connect failed", {{"dsn", "host=db password=hunter2 user=x"}, {"uri", "postgresql://u:hunter2@db/app"}});
    log.error("odd setting", {{"password", "hunter2"}});
    const std::string all = pipe.read_all();
    CHECK(all.find("hunter2") == std::string::npos);
    CHECK(all.find("***") != std::string::npos);
  }
}

TEST_CASE("log: the level filters, and can be changed while running") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text, 5), time, pipe.in());
  log.info("hidden");
  log.notice("shown");
  log.set_level(Severity::debug);
  log.debug("shown, too");
  const auto lines = pipe.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].substr(0, 3) == "<5>");
  CHECK(lines[1].substr(0, 3) == "<7>");
}

TEST_CASE("log: JSON lines start with a brace") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::json), time, pipe.in());
  log.error("x");
  CHECK(pipe.read_all().substr(0, 1) == "{");
}

TEST_CASE("log: lines of many threads never mix") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::json), time, pipe.in());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 100; ++i)
        log.info("line", {{"thread", std::to_string(t)}, {"i", std::to_string(i)}});
    });
  }
  for (auto& thread : threads)
    thread.join();
  const auto lines = pipe.lines();
  CHECK(lines.size() + log.dropped() == 400);
  for (const auto& line : lines)
    CHECK(nlohmann::json::accept(line));
}

TEST_CASE("alarm board: each change is logged once") {
  Pipe pipe;
  ManualTime time;
  Log log(as(LogFormat::text, 6), time, pipe.in());
  AlarmBoard board(time, log);
  board.set("ops.port", "taken", "free it");
  board.set("ops.port", "taken", "free it");
  board.set("level.1", "not held", "look at the database");
  CHECK(board.list().size() == 2);
  CHECK(board.list()[0].id == "level.1");
  board.clear("ops.port");
  board.clear("ops.port");
  const auto lines = pipe.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].find(" warning alarm set id=ops.port text=taken do=\"free it\"") != std::string::npos);
  CHECK(lines[2].find(" notice alarm cleared id=ops.port") != std::string::npos);
}
