#include "levels/0_baseline/probers.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr bool kListed = true, kStranger = false;
constexpr bool kSpeaks = true, kSilent = false;
constexpr bool kSettled = true, kYoung = false;

struct World {
  Probers probers;
  TimePoint now{seconds(1000)};

  void ask(const std::string& from, bool listed = kStranger, bool speaks = kSilent) {
    probers.asked(from, listed, speaks, now);
  }
  void ask_every(Duration interval, int times, const std::string& from, bool listed = kStranger) {
    for (int i = 0; i < times; ++i) {
      if (i > 0) now += interval;
      ask(from, listed);
    }
  }
  void hear(const std::string& word) { probers.heard(*parse_haproxy_state(word), now); }
  Probers::View look(bool settled) { return probers.look(now, settled); }
};

}  // namespace

TEST_CASE("probers: a person's two questions are a prober's only while level 3 is young") {
  World world;
  world.ask("10.0.0.9");
  world.now += seconds(3);
  world.ask("10.0.0.9");
  CHECK(world.look(kYoung).last_probe == world.now);
  CHECK(world.look(kYoung).interval == Duration(seconds(3)));
  CHECK_FALSE(world.look(kSettled).last_probe);
  CHECK_FALSE(world.look(kSettled).interval);
  CHECK(world.look(kSettled).doubt_until == world.now + seconds(3));  // should it be a balancer, just started
}

TEST_CASE("probers: whoever asks six times, never long silent, is a prober, listed or not") {
  for (const bool listed : {kListed, kStranger}) {
    World world;
    world.ask_every(seconds(10), 5, "10.0.0.9", listed);
    CHECK_FALSE(world.look(kSettled).last_probe);
    world.now += seconds(29);
    world.ask("10.0.0.9", listed);
    CHECK(world.look(kSettled).last_probe == world.now);
    CHECK(world.look(kSettled).interval == Duration(seconds(29)));
    CHECK(world.look(kSettled).slowest == "10.0.0.9");
  }
  World silent;
  silent.ask_every(seconds(1), 5, "10.0.0.9");
  silent.now += seconds(4);  // longer than three of its intervals
  silent.ask_every(seconds(1), 5, "10.0.0.9");
  CHECK_FALSE(silent.look(kSettled).last_probe);
}

TEST_CASE("probers: a prober that had fallen silent before we drain is gone, one that falls silent then is not") {
  World world;
  world.ask_every(seconds(1), 6, "10.0.0.9");
  world.probers.drains(world.now + seconds(3));
  world.now += seconds(30);
  CHECK(world.look(kSettled).last_probe == world.now - seconds(30));
  world.probers.drains_no_more();
  world.probers.drains(world.now);
  CHECK_FALSE(world.look(kSettled).last_probe);
}

TEST_CASE("probers: a balancer that was just started asks again while we drain, and is waited for") {
  World world;
  world.ask_every(seconds(2), 2, "10.0.0.9");
  world.probers.drains(world.now + milliseconds(100));
  CHECK(world.look(kSettled).doubt_until == world.now + seconds(3));
  world.now += seconds(2);
  world.ask("10.0.0.9");
  CHECK(world.look(kSettled).last_probe == world.now);
  CHECK(world.look(kSettled).interval == Duration(seconds(2)));
  CHECK_FALSE(world.look(kSettled).doubt_until);
}

TEST_CASE("probers: whoever asks for the first time while we drain was never told yes, and is left alone") {
  World world;
  world.probers.drains(world.now);
  world.now += seconds(1);
  world.ask("10.0.0.9");
  CHECK_FALSE(world.look(kSettled).doubt_until);
  CHECK_FALSE(world.look(kSettled).last_probe);
  world.now += seconds(1);
  world.ask("10.0.0.9");
  CHECK_FALSE(world.look(kSettled).last_probe);
}

TEST_CASE("probers: doubt lasts no longer than half an interval more than the one that was seen") {
  World world;
  world.ask("10.0.0.9");
  CHECK(world.look(kSettled).doubt_until == world.now + seconds(3));
  world.now += milliseconds(200);
  world.ask("10.0.0.9");
  CHECK(world.look(kSettled).doubt_until == world.now + milliseconds(300));
}

TEST_CASE("probers: a word that is not heard makes its sender a prober at once") {
  World world;
  world.ask("10.0.0.9", kStranger, kSpeaks);
  CHECK(world.look(kSettled).last_probe == world.now);
  CHECK(world.look(kSettled).nodes == 0);
}

TEST_CASE("probers: strangers displace nobody that is listed, and no prober of their own kind") {
  World world;
  world.ask_every(milliseconds(500), 6, "listed", kListed);
  world.ask_every(milliseconds(500), 6, "prober", kStranger);
  world.hear("UP; name=b/s; node=lb1; scur=1");
  for (int i = 0; i < 1000; ++i)
    world.ask("passer-" + std::to_string(i));
  world.now += milliseconds(500);
  world.ask("prober");
  world.ask("listed", kListed);
  const auto view = world.look(kSettled);
  CHECK(view.last_probe == world.now);
  CHECK(view.nodes == 1);
  CHECK(view.interval >= Duration(milliseconds(500)));
}

TEST_CASE("probers: many who only seem to be probers leave room for a listed one") {
  World world;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 100; ++i)
      world.ask("stranger-" + std::to_string(i));
    world.now += milliseconds(500);
  }
  world.ask_every(seconds(1), 6, "listed", kListed);
  CHECK(world.look(kSettled).last_probe == world.now);
}

TEST_CASE("probers: a node's word is the only thing that says it has stopped") {
  World world;
  world.hear("UP; name=b/s; node=lb1; scur=1");
  world.ask("10.0.0.9", kStranger, kSpeaks);
  CHECK(world.look(kSettled).waits_for == "lb1 b/s");
  world.probers.drains(world.now);
  world.hear("NOLB; name=b/s; node=lb1; scur=0");
  CHECK(world.look(kSettled).all_idle);
  CHECK(world.look(kSettled).waits_for.empty());
}
