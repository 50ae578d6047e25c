#include "levels/1_database/unfinished.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using namespace std::chrono_literals;
using Verdict = Unfinished::Verdict;

namespace {

constexpr auto kStatement = 5000ms;

Activity at_work(int backend, std::string type, std::string event, Duration age, bool writes = false) {
  return {backend, std::move(type), std::move(event), age, false, writes};
}
Activity commit_without_standby(int backend, Duration age = 6s) {
  return at_work(backend, "IPC", "SyncRep", age, true);
}
Activity idle(int backend) { return {backend, "Client", "ClientRead", 10s, true, false}; }

// So many calls were given up after their time, on backends 1, 2, ...
Unfinished overdue(int calls, int size = 8) {
  Unfinished unfinished(size, kStatement);
  for (int i = 1; i <= calls; ++i)
    unfinished.left(i, true);
  unfinished.ask();
  return unfinished;
}

}  // namespace

TEST_CASE("unfinished: what a backend waits for is the fault that it is") {
  CHECK(hung_on(at_work(1, "IPC", "SyncRep", 1s)) == FaultKind::standby_away);
  for (const char* event : {"WALSync", "WALWrite", "DataFileSync", "DataFileExtend", "WALInitSync"})
    CHECK(hung_on(at_work(1, "IO", event, 1s)) == FaultKind::disk_stuck);
  CHECK(hung_on(at_work(1, "LWLock", "WALWrite", 1s)) == FaultKind::disk_stuck);  // behind one that waits for it
  CHECK(hung_on(at_work(1, "Lock", "transactionid", 1s)) == FaultKind::locked);
  CHECK(hung_on(at_work(1, "LWLock", "BufferContent", 1s)) == FaultKind::timed_out);
  CHECK(hung_on(at_work(1, "", "", 1s)) == FaultKind::timed_out);
}

TEST_CASE("unfinished: from the moment it is given up a call is in doubt and takes a connection, until it has ended") {
  Unfinished unfinished(8, kStatement);
  CHECK_FALSE(unfinished.doubtful());
  CHECK(unfinished.taken() == 0);
  unfinished.left(1, true);
  CHECK(unfinished.doubtful());
  CHECK(unfinished.taken() == 1);
  unfinished.ask();
  CHECK(unfinished.judge({}, false).verdict == Verdict::clear);
  CHECK_FALSE(unfinished.doubtful());
  CHECK(unfinished.taken() == 0);
}

TEST_CASE("unfinished: an answer says nothing about a call that was given up after the question") {
  Unfinished unfinished(8, kStatement);
  unfinished.ask();
  unfinished.left(1, true);
  CHECK(unfinished.judge({}, false).verdict == Verdict::clear);
  CHECK(unfinished.doubtful());
  CHECK(unfinished.taken() == 1);
}

TEST_CASE("unfinished: a commit that hangs is named with its cause and backend") {
  auto unfinished = overdue(1);
  const auto finding = unfinished.judge({commit_without_standby(1)}, false);
  CHECK(finding.verdict == Verdict::hung);
  CHECK(finding.kind == FaultKind::standby_away);
  CHECK(finding.text == "a commit hangs in the server, which waits for a synchronous standby (SyncRep) in backend 1");
  CHECK(unfinished.taken() == 1);
}

TEST_CASE("unfinished: of several that hang the one is named that explains the others") {
  auto unfinished = overdue(3);
  const auto finding =
      unfinished.judge({at_work(1, "Lock", "transactionid", 6s, true), at_work(2, "IO", "WALSync", 6s, true),
                        at_work(3, "LWLock", "WALWrite", 6s, true)},
                       false);
  CHECK(finding.kind == FaultKind::disk_stuck);
  CHECK(finding.text == "3 commits hang in the server, which waits for its disk (WALSync) in backend 2");
}

TEST_CASE("unfinished: a commit that hangs for another reason hinders others, too") {
  auto unfinished = overdue(1);
  CHECK(unfinished.judge({at_work(1, "Timeout", "PgSleep", 6s, true)}, false).verdict == Verdict::hung);
}

TEST_CASE("unfinished: a call whose user had less time than a statement takes is at work, and hangs only later") {
  auto unfinished = overdue(2);
  const auto judged = [&](Duration first, Duration second) {
    return unfinished.judge({at_work(1, "", "", first, true), at_work(2, "IO", "WALSync", second, true)}, false).verdict;
  };
  CHECK(judged(5ms, 5ms) == Verdict::clear);
  CHECK(unfinished.taken() == 2);
  CHECK(judged(4s, 999ms) == Verdict::clear);
  CHECK(judged(4s, 1s) == Verdict::hung);
  CHECK(judged(5s, 5ms) == Verdict::hung);
}

TEST_CASE("unfinished: a call that only reads hinders nobody, but takes its connection") {
  auto unfinished = overdue(1);
  const auto finding = unfinished.judge({at_work(1, "", "", 7s)}, false);
  CHECK(finding.verdict == Verdict::clear);
  CHECK(finding.text == "a call hangs in the server, which waits for something that it does not tell in backend 1");
  CHECK_FALSE(unfinished.doubtful());
  CHECK(unfinished.taken() == 1);
}

TEST_CASE("unfinished: a backend that does not know yet that nobody listens takes a connection and hinders nobody") {
  auto unfinished = overdue(1);
  const auto finding = unfinished.judge({idle(1)}, true);
  CHECK(finding.verdict == Verdict::clear);
  CHECK(finding.text.empty());
  CHECK(unfinished.taken() == 1);
}

TEST_CASE(
    "unfinished: where calls take so many connections that committer, relay and probe would have none, that is told") {
  auto unfinished = overdue(6);
  std::vector<Activity> found;
  for (int i = 1; i <= 5; ++i)
    found.push_back(at_work(i, "", "", 7s));
  CHECK(unfinished.judge(found, false).verdict == Verdict::clear);
  CHECK(unfinished.taken() == 5);
  unfinished.left(6, true);
  unfinished.ask();
  found.push_back(at_work(6, "", "", 7s));
  const auto finding = unfinished.judge(found, false);
  CHECK(finding.verdict == Verdict::hung);
  CHECK(finding.text.ends_with("; calls that were given up take 6 of 8 connections"));
  CHECK(unfinished.taken() == 5);  // never so many that nobody could ask any more
}

TEST_CASE("unfinished: a call cut before its time is left to end, unless it waits where commits hang") {
  Unfinished unfinished(8, kStatement);
  unfinished.left(1, false);
  unfinished.ask();
  CHECK(unfinished.judge({at_work(1, "", "", 3s, true)}, false).verdict == Verdict::clear);
  CHECK(unfinished.judge({commit_without_standby(1, 500ms)}, false).verdict == Verdict::clear);
  CHECK(unfinished.judge({commit_without_standby(1, 1s)}, false).verdict == Verdict::hung);
}

TEST_CASE("unfinished: a raise finds what another process of ours has left, and remembers it") {
  Unfinished unfinished(8, kStatement);
  CHECK(unfinished.judge({commit_without_standby(7)}, false).verdict == Verdict::clear);  // a twin's own matter
  CHECK(unfinished.taken() == 0);
  CHECK(unfinished.judge({commit_without_standby(7), at_work(8, "Lock", "relation", 20s), idle(9)}, true).verdict ==
        Verdict::hung);
  CHECK(unfinished.taken() == 2);
  CHECK_FALSE(unfinished.doubtful());
  unfinished.ask();
  CHECK(unfinished.judge({}, true).verdict == Verdict::clear);
  CHECK(unfinished.taken() == 0);
}

TEST_CASE("unfinished: what waits for a standby or the disk for a moment only is looked at again") {
  Unfinished unfinished(8, kStatement);
  CHECK(unfinished.judge({commit_without_standby(7, 10ms)}, true).verdict == Verdict::young);
  CHECK(unfinished.judge({at_work(7, "IO", "WALSync", 10ms)}, true).verdict == Verdict::young);
  CHECK(unfinished.judge({at_work(7, "", "", 10ms)}, true).verdict == Verdict::clear);
  CHECK(unfinished.taken() == 0);
}

TEST_CASE("unfinished: what may not be seen counts as old") {
  Unfinished unfinished(8, kStatement);
  CHECK(unfinished.judge({{7, "", "", std::nullopt, false, false}}, true).verdict == Verdict::clear);
  CHECK(unfinished.taken() == 1);
}
