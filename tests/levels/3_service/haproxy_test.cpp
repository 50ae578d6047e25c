#include "levels/0_baseline/listener.hpp"
#include "levels/3_service/haproxy_agent.hpp"
#include "levels/3_service/haproxy_runtime.hpp"
#include "levels/3_service/http_registrar.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using namespace ratchet::service;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
const TimePoint kNow{seconds(1000)};
using Mode = AgentWords::Mode;

// A real agent on a free port, asked as HAProxy does.
struct Asked {
  tests::RealTime time;
  Log log{LogSettings{LogFormat::text, 3, false}, time};
  AlarmBoard alarms{time, log};
  std::atomic<bool> survived{false};
  std::uint16_t port = http::Listener::open({"127.0.0.1", 0}, time.now())->port();
  HaproxyAgent agent{
      "test", {"127.0.0.1", port}, time, log, alarms, [this] { return survived.load(); }, Networks({"127.0.0.1"})};

  // The line; empty: it closed without one.
  std::string line() {
    REQUIRE(tests::comes_true([this] { return tests::RawHttp(port).connected(); }));
    tests::RawHttp poll(port);
    return poll.rest();
  }
  void tell(Verb verb, Leave leave = Leave::asked) {
    Patience patience(time.now() + seconds(2));
    agent.tell(verb, leave, patience);
  }
};
}  // namespace

TEST_CASE("agent: a new process says down until level 3 is held, unless the port was kept over a restart") {
  Asked asked;
  CHECK(asked.line() == "down\n");
  asked.survived = true;
  CHECK(asked.line().empty());  // HAProxy keeps what it believes
  asked.survived = false;       // level 3 was not reached in time
  CHECK(asked.line() == "down\n");
  asked.survived = true;
  asked.tell(Verb::register_);
  CHECK(asked.line() == "ready up 100%\n");
  asked.tell(Verb::deregister, Leave::fault);
  CHECK(asked.line() == "down\n");
}

TEST_CASE("agent: ready is said to each address for its first 3 polls after a change, and never otherwise") {
  AgentWords words(kNow);
  CHECK(words.poll("a", true, kNow) == "down\n");
  words.change(Mode::here);
  for (int i = 0; i < 3; ++i)
    CHECK(words.poll("a", true, kNow) == "ready up 100%\n");
  CHECK(words.poll("a", true, kNow) == "up 100%\n");
  words.change(Mode::here);
  CHECK(words.poll("a", true, kNow) == "up 100%\n");
  CHECK(words.poll("b", true, kNow) == "ready up 100%\n");
  words.change(Mode::draining);
  CHECK(words.poll("a", true, kNow) == "drain 0%\n");
  words.change(Mode::here);
  CHECK(words.poll("a", true, kNow) == "ready up 100%\n");
  words.change(Mode::down);
  CHECK(words.poll("a", true, kNow) == "down\n");
}

TEST_CASE("agent: all know once every address that still polls has asked") {
  AgentWords words(kNow - seconds(10));
  CHECK(words.all_know(kNow));
  CHECK_FALSE(AgentWords(kNow - seconds(2)).all_know(kNow));  // HAProxy may have been started just now
  words.change(Mode::here);
  words.poll("a", true, kNow);
  words.poll("b", true, kNow - seconds(50));
  words.change(Mode::draining);
  CHECK_FALSE(words.all_know(kNow));
  words.poll("a", true, kNow + milliseconds(500));
  CHECK(words.all_know(kNow + milliseconds(500)));  // b has not asked for far longer than it used to
}

TEST_CASE("agent: addresses that only ever came once do not fill the memory") {
  AgentWords words(kNow);
  for (int i = 0; i < 1000; ++i)
    words.poll(std::to_string(i), true, kNow + milliseconds(i));
  words.change(Mode::draining);
  CHECK_FALSE(words.all_know(kNow + seconds(1)));
  CHECK(words.all_know(kNow + seconds(120)));
}

TEST_CASE("agent: a stranger who polls holds up nobody, and takes nobody's place") {
  constexpr bool kListed = true, kStranger = false;
  AgentWords words(kNow);
  words.change(Mode::here);
  for (int i = 0; i < 4; ++i)
    words.poll("lb", kListed, kNow + seconds(i));
  words.poll("stranger", kStranger, kNow + seconds(1));
  words.poll("stranger", kStranger, kNow + seconds(4));
  SECTION("who polled twice, or ever so often") {
    for (int i = 0; i < 10; ++i)
      words.poll("regular", kStranger, kNow + milliseconds(300 * i));
    words.change(Mode::draining);
    CHECK_FALSE(words.all_know(kNow + seconds(4)));
    words.poll("lb", kListed, kNow + seconds(4));
    CHECK(words.all_know(kNow + seconds(4)));
  }
  SECTION("from any number of addresses") {
    for (int i = 0; i < 10'000; ++i)
      words.poll(std::to_string(i), kStranger, kNow + seconds(4));
    CHECK(words.remembered() == 256);
    CHECK(words.poll("lb", kListed, kNow + seconds(4)) == "up 100%\n");  // `ready` would undo an operator's drain
    words.change(Mode::draining);
    CHECK_FALSE(words.all_know(kNow + seconds(4)));
  }
}

TEST_CASE("agent: where no listed address polls, those are waited for that poll in a row") {
  AgentWords words(kNow - seconds(100));
  words.change(Mode::here);
  words.poll("person", false, kNow);
  words.poll("person", false, kNow + seconds(3));
  words.change(Mode::draining);
  CHECK(words.all_know(kNow + seconds(3)));
  words.change(Mode::here);
  for (int i = 0; i < 6; ++i)
    words.poll("lb", false, kNow + seconds(i));
  words.change(Mode::draining);
  CHECK_FALSE(words.all_know(kNow + seconds(5)));
  words.poll("lb", false, kNow + seconds(6));
  CHECK(words.all_know(kNow + seconds(6)));
}

TEST_CASE("runtime: replies mean what HAProxy means by them") {
  const auto word = [](const char* text, bool leaving) { return told_by({true, text}, leaving).word; };
  CHECK(word("\n", false) == Told::Word::done);
  CHECK(word("", true) == Told::Word::done);
  CHECK(word("No such server.\n\n", true) == Told::Word::done);
  CHECK(word("No such backend.\n", true) == Told::Word::done);
  CHECK(word("No such server.\n\n", false) == Told::Word::failed);
  CHECK(word("Permission denied\n", true) == Told::Word::failed);
  CHECK(told_by({true, "No such server.\n"}, false).text == "No such server.");
  CHECK(told_by({false, "Connection refused"}, true).word == Told::Word::again);
}

TEST_CASE("runtime: sessions and fields are found by their names, whole") {
  const std::string stat = "# pxname,svname,qcur,qmax,scur,smax\nbe,s10,0,0,7,9\nbe,s1,0,0,3,9\nbe,BACKEND,0,0,10,12\n";
  CHECK(sessions_of(stat, "be", "s1") == 3);
  CHECK(sessions_of(stat, "be", "s10") == 7);
  CHECK_FALSE(sessions_of(stat, "b", "s1"));
  CHECK_FALSE(sessions_of("", "be", "s1"));
  CHECK_FALSE(sessions_of("be,s1", "be", "s1"));
  CHECK_FALSE(sessions_of("be,s1,", "be", "s1"));
  CHECK(field_of_info("Name: HAProxy\nPid: 12\nnode: lb1\n", "Pid") == "12");
  CHECK(field_of_info("Name: HAProxy\nnode: lb1", "node") == "lb1");
  CHECK(field_of_info("Name: HAProxy\n", "node").empty());
  CHECK(field_of_info("", "node").empty());
}

TEST_CASE("http registrar: known placeholders are filled, every other brace stands") {
  const Fillings fillings{{"host", "10.0.0.1"}, {"port", "8080"}, {"secret:t", "{host}"}};
  CHECK(filled(R"({"a":"{host}","p":{port},"x":{}})", fillings) == R"({"a":"10.0.0.1","p":8080,"x":{}})");
  CHECK(filled("{{host}}", fillings) == "{10.0.0.1}");
  CHECK(filled("{host", fillings) == "{host");
  CHECK(filled("{secret:t}", fillings) == "{host}");  // not filled in a second time
  CHECK(filled("{other}", fillings) == "{other}");
  CHECK(filled("", fillings).empty());
}

TEST_CASE("http registrar: ok, done and the rest of the status codes") {
  RequestTemplate request;
  CHECK(told_by(request, 204, "").word == Told::Word::done);
  CHECK(told_by(request, 302, "").word == Told::Word::failed);
  CHECK(told_by(request, 404, "unknown service\nmore").text == "HTTP status 404: unknown service");
  CHECK(told_by(request, 503, "").word == Told::Word::again);
  CHECK(told_by(request, 429, "").word == Told::Word::again);
  request.done = {404};
  CHECK(told_by(request, 404, "").word == Told::Word::done);
  request.ok = {201};
  CHECK(told_by(request, 200, "").word == Told::Word::failed);
  CHECK(told_by(request, 201, "").word == Told::Word::done);
}
