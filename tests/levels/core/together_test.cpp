#include "levels/core/together.hpp"

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;

namespace {

using Journal = std::vector<std::string>;

struct Part final : Level {
  struct Held final : HeldLevel {
    explicit Held(Part& part) : of(part) {}
    ~Held() override { of.journal.push_back("-" + of.own_name); }
    std::optional<Fault> probe(Patience&) override {
      of.journal.push_back("?" + of.own_name);
      if (of.well) return std::nullopt;
      return Fault{1, 0, FaultKind::timed_out, of.own_name, {}};
    }
    void on_doubt(const std::function<void()>& probe_soon) override { of.probe_soon = probe_soon; }
    void drain(Patience&, Leave) override { of.journal.push_back("~" + of.own_name); }
    std::optional<std::string> degraded() const override {
      return of.well ? std::nullopt : std::optional("poor " + of.own_name);
    }
    Part& of;
  };

  Part(std::string name, Journal& to) : own_name(std::move(name)), journal(to) {}
  std::string_view name() const noexcept override { return own_name; }
  Duration raise_patience() const noexcept override { return std::chrono::seconds(3); }
  ProbePlan probe_plan() const noexcept override { return {std::chrono::seconds(1), std::chrono::seconds(1), 2}; }
  Result<std::unique_ptr<HeldLevel>> raise(Patience&, Incarnation incarnation) override {
    journal.push_back((well ? "+" : "!") + own_name);
    if (!well) return Fault{1, incarnation, FaultKind::refused, own_name, {}};
    return std::unique_ptr<HeldLevel>(std::make_unique<Held>(*this));
  }

  std::string own_name;
  Journal& journal;
  bool well = true;
  std::function<void()> probe_soon;
};

struct World {
  Journal journal;
  Part a{"a", journal}, b{"b", journal}, c{"c", journal};
  Together all{"all", {&a, &b, &c}, [this] { return also; }};
  std::optional<std::string> also;
  Patience patience{TimePoint::max()};
  Journal told() { return std::exchange(journal, {}); }
};

}  // namespace

TEST_CASE("together: all are raised in order and released in reverse") {
  World world;
  CHECK(world.all.name() == "all");
  CHECK(world.all.raise_patience() == std::chrono::seconds(3));
  auto held = world.all.raise(world.patience, 7);
  REQUIRE(held);
  held->reset();
  CHECK(world.told() == Journal{"+a", "+b", "+c", "-c", "-b", "-a"});
}

TEST_CASE("together: one that cannot be raised leaves nothing raised, and tells why") {
  World world;
  world.c.well = false;
  const auto held = world.all.raise(world.patience, 7);
  REQUIRE_FALSE(held);
  CHECK(held.error().text == "c");
  CHECK(held.error().incarnation == 7);
  CHECK(world.told() == Journal{"+a", "+b", "!c", "-b", "-a"});
}

TEST_CASE("together: one that misses is the miss of all, and comes last from then on") {
  World world;
  auto held = *world.all.raise(world.patience, 7);
  world.told();
  CHECK_FALSE(held->probe(world.patience));
  CHECK(world.told() == Journal{"?a", "?b", "?c"});
  world.b.well = false;
  const auto miss = held->probe(world.patience);
  REQUIRE(miss);
  CHECK(miss->text == "b");
  CHECK(world.told() == Journal{"?a", "?b"});
  CHECK(held->probe(world.patience));
  CHECK(world.told() == Journal{"?a", "?c", "?b"});
  held->drain(world.patience, Leave::fault);
  CHECK(world.told() == Journal{"~a", "~c", "~b"});
}

TEST_CASE("together: what is degraded is said of each, and of what stands beside them") {
  World world;
  const auto held = *world.all.raise(world.patience, 7);
  CHECK_FALSE(held->degraded());
  world.a.well = world.c.well = false;
  CHECK(held->degraded() == "poor a; poor c");
  world.also = "and more";
  CHECK(held->degraded() == "and more; poor a; poor c");
}

TEST_CASE("together: a doubt of any of them is a doubt of all") {
  World world;
  const auto held = *world.all.raise(world.patience, 7);
  int doubts = 0;
  held->on_doubt([&] { ++doubts; });
  for (const Part* part : {&world.a, &world.b, &world.c})
    part->probe_soon();
  CHECK(doubts == 3);
}
