#include "daemon/mailbox.hpp"

#include <rapidcheck.h>

#include <atomic>
#include <thread>

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Fault fault(int level, Incarnation incarnation, std::string text = "gone") {
  return {level, incarnation, FaultKind::connection_lost, std::move(text), {}};
}

}  // namespace

TEST_CASE("mailbox: keeps the first fault of an incarnation and counts the rest") {
  Mailbox box;
  box.report(fault(1, 1, "first"));
  for (int i = 0; i < 1000; ++i)
    box.report(fault(1, 1, "later"));
  const auto mail = box.wait(seconds(20));
  REQUIRE(mail.faults[1]);
  CHECK(mail.faults[1]->first.text == "first");
  CHECK(mail.faults[1]->count == 1001);
  CHECK_FALSE(mail.faults[2]);
}

TEST_CASE("mailbox: a newer incarnation takes the slot, an older one does not") {
  Mailbox box;
  box.report(fault(2, 3));
  box.report(fault(2, 5));
  box.report(fault(2, 4));
  const auto mail = box.wait(seconds(20));
  REQUIRE(mail.faults[2]);
  CHECK(mail.faults[2]->first.incarnation == 5);
  CHECK(mail.faults[2]->count == 1);
}

TEST_CASE("mailbox: an endless text is cut") {
  Mailbox box;
  box.report(fault(1, 1, std::string(1'000'000, 'x')));
  CHECK(box.wait(seconds(20)).faults[1]->first.text.size() == Mailbox::kFaultText);
}

TEST_CASE("mailbox: the ninth command is told to come back, and room is made by reading") {
  Mailbox box;
  std::vector<std::future<CommandReply>> replies;
  for (std::size_t i = 0; i < Mailbox::kCommands; ++i) {
    auto reply = box.ask({Command::Verb::drain, 0, "", ""});
    REQUIRE(reply);
    replies.push_back(std::move(*reply));
  }
  CHECK_FALSE(box.ask({}));
  auto mail = box.wait(seconds(20));
  REQUIRE(mail.commands.size() == Mailbox::kCommands);
  for (auto& asked : mail.commands)
    asked.reply.set_value({true, "yes"});
  for (auto& reply : replies)
    CHECK(reply.get().done);
  CHECK(box.ask({}));
}

TEST_CASE("mailbox: who asks a daemon that has stopped is told so") {
  Mailbox box;
  auto before = box.ask({});
  REQUIRE(before);
  box.close();
  CHECK_FALSE(before->get().done);
  CHECK_FALSE(box.ask({}));
}

TEST_CASE("mailbox: waiting ends without mail after its time, and at once when nudged") {
  Mailbox box;
  CHECK(box.wait(milliseconds(1)).stops == 0);
  box.nudge();
  CHECK(box.wait(seconds(60)).stops == 0);
}

TEST_CASE("mailbox: whatever is posted from any number of threads, nothing is lost and nothing overflows") {
  CHECK(rc::check([] {
    const int noise = *rc::gen::inRange(0, 200);
    const int jobs = *rc::gen::inRange(1, 50);
    Mailbox box;
    std::vector<std::thread> threads;
    std::array<std::atomic<int>, kTopLevel + 1> taken{};
    for (int level = 1; level <= kTopLevel; ++level) {
      auto& mine = taken[static_cast<std::size_t>(level)];
      threads.emplace_back([&box, &mine, level, jobs] {  // a worker: the next job comes after the completion was read
        for (int job = 0; job < jobs; ++job) {
          box.complete(level, LowerDone{});
          while (mine.load() <= job)
            std::this_thread::yield();
        }
      });
    }
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&box, noise, i] {
        for (int n = 0; n < noise; ++n) {
          box.report(fault(1 + n % kTopLevel, static_cast<Incarnation>(n / 7)));
          if (n % 3 == i) box.stop();
          if (n % 5 == i) (void)box.ask({});
        }
      });
    unsigned stops = 0;
    auto all_taken = [&] { return taken[1] == jobs && taken[2] == jobs && taken[3] == jobs; };
    auto read = [&](Duration wait) {
      auto mail = box.wait(wait);
      RC_ASSERT(mail.commands.size() <= Mailbox::kCommands);
      stops += mail.stops;
      for (auto& asked : mail.commands)
        asked.reply.set_value({});
      for (std::size_t level = 1; level <= kTopLevel; ++level)
        if (mail.completions[level]) ++taken[level];
    };
    while (!all_taken())
      read(seconds(20));
    for (auto& thread : threads)
      thread.join();
    read(Duration::zero());
    unsigned expected = 0;
    for (int i = 0; i < 3; ++i)
      for (int n = 0; n < noise; ++n)
        expected += n % 3 == i ? 1u : 0u;
    RC_ASSERT(stops == expected);
  }));
}
