#include "levels/1_database/group_commit.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <sstream>

#include "levels/1_database/batch.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;
using db::Committed;

namespace {

struct Said {
  Committed committed;
  std::string reply;
};

// Remembers every outcome; lets batches go at once.
class Collector final : public db::CommitSink {
 public:
  void finished(std::unique_ptr<db::FinishedBatch> batch) override {
    const std::lock_guard lock(mutex_);
    for (const auto& outcome : batch->outcomes()) {
      auto [at, fresh] = said_.try_emplace(outcome.token, Said{outcome.committed, std::string(outcome.reply)});
      if (!fresh) ++twice_;
    }
    ++batches_;
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return said_.size();
  }
  std::map<std::uint64_t, Said> all() const {
    const std::lock_guard lock(mutex_);
    return said_;
  }
  std::size_t count(Committed committed) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(
        said_.begin(), said_.end(), [&](const auto& entry) { return entry.second.committed == committed; }));
  }
  // The one that must come; 30 s, then it is wrong.
  Said wait(std::uint64_t token) const {
    Said found{Committed::refused, "no outcome came"};
    eventually([&] {
      const std::lock_guard lock(mutex_);
      const auto at = said_.find(token);
      if (at != said_.end()) found = at->second;
      return at != said_.end();
    });
    return found;
  }
  int twice() const {
    const std::lock_guard lock(mutex_);
    return twice_;
  }
  int batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Said> said_;
  int twice_ = 0, batches_ = 0;
};

db::Uuid uuid(std::uint64_t n) {
  db::Uuid id{};
  for (std::size_t i = 0; i < 8; ++i)
    id[i] = static_cast<std::uint8_t>((n * 0x9e3779b97f4a7c15ull) >> (8 * i));
  for (std::size_t i = 0; i < 8; ++i)
    id[8 + i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

const std::string kPrintOne = "\1" + std::string(31, 'a'), kPrintTwo = "\1" + std::string(31, 'b');

// A group commit that runs on a world, and its sink.
class Runner {
 public:
  explicit Runner(World& world, int committers = 1, std::size_t queue_bytes = 64u << 20)
      : world_(world), commits({*world.pool, world.time, world.log, world.metrics, queue_bytes, committers}) {
    commits.set_sink(&sink);
    start();
  }
  ~Runner() { stop(Leave::fault, 5s); }
  void start() {
    Patience patience(world_.time.now() + 30s);
    auto started = commits.start(patience);
    if (!started) throw std::runtime_error(started.error().text);
  }
  void stop(Leave leave, Duration most) {
    Patience patience(world_.time.now() + most);
    commits.stop(patience, leave);
  }
  Result<std::uint64_t, db::AddError> add(std::uint64_t token, const std::string& payload,
                                          std::optional<db::Uuid> id = {}, const std::string& print = kPrintOne,
                                          const std::string& headers = "{\"a\":\"b\"}", const std::string& key = "k") {
    db::Event event{};
    event.idempotency = id;
    event.fingerprint = print;
    const std::string reply = "reply " + std::to_string(token);
    event.reply = reply;
    event.topic = "t";
    event.key = key;
    event.headers = headers;
    event.payload = payload;
    return commits.add(event, token);
  }

 private:
  World& world_;

 public:
  Collector sink;
  db::GroupCommit commits;
};

std::vector<std::string> rows_of(
    World& world, const std::string& sql = "select convert_from(payload, 'UTF8') from ratchet.outbox order by seq") {
  auto connection = world.connect();
  auto found = connection->exec(sql);
  if (!found) throw std::runtime_error(found.error().text);
  std::vector<std::string> rows;
  for (std::size_t i = 0; i < found->size(); ++i)
    rows.emplace_back(found->text(i, 0));
  return rows;
}

std::string committer_pid(World& world) {
  return world.ask("select pid from pg_stat_activity where query like '%ratchet.append%' and pid <> pg_backend_pid()");
}

}  // namespace

TEST_CASE(
    "group commit: 32 submitters, every event exactly one outcome, every stored one a row, in each submitter's order") {
  World world;
  Runner runner(world);
  constexpr std::uint64_t kThreads = 32, kEach = 400;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        const auto token = t * 1'000'000 + i;
        const auto id = i % 3 == 0 ? std::optional(uuid(token)) : std::nullopt;
        while (!runner.add(token, std::to_string(token), id, kPrintOne, "{}", "key" + std::to_string(t))) {
        }
        runner.commits.wake();
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  REQUIRE(eventually([&] { return runner.sink.count() == kThreads * kEach; }));
  CHECK(runner.sink.twice() == 0);
  CHECK(runner.sink.count(Committed::stored) == kThreads * kEach);
  for (const auto& [token, said] : runner.sink.all()) {
    if (said.reply != "reply " + std::to_string(token)) FAIL("the reply of another event: " << said.reply);
  }
  std::map<std::uint64_t, std::uint64_t> next;
  std::size_t rows = 0, disorder = 0;
  for (const auto& row : rows_of(world)) {
    const auto token = std::stoull(row);
    disorder += token % 1'000'000 != next[token / 1'000'000]++;
    ++rows;
  }
  CHECK(rows == kThreads * kEach);
  CHECK(disorder == 0);
  CHECK(static_cast<std::uint64_t>(runner.sink.batches()) < kThreads * kEach / 2);  // they were grouped
}

TEST_CASE("group commit: bytes arrive as they were given") {
  World world;
  Runner runner(world);
  const std::string payload("\0\xff\\'\"\n", 6), key("\0k", 2);
  db::Event event{};
  event.topic = "t'\\";
  event.key = key;
  event.headers = "{\"ce_id\": \"\\u00e9\"}";
  event.payload = payload;
  REQUIRE(runner.commits.add(event, 1));
  event.key = {};
  event.payload = {};
  event.headers = "{}";
  REQUIRE(runner.commits.add(event, 2));
  runner.commits.wake();
  CHECK(runner.sink.wait(1).committed == Committed::stored);
  CHECK(runner.sink.wait(2).committed == Committed::stored);
  CHECK(rows_of(world,
                "select topic || '|' || coalesce(encode(key, 'hex'), 'none') || '|' || headers || '|' || "
                "encode(payload, 'hex') "
                "from ratchet.outbox order by seq") ==
        std::vector<std::string>{"t'\\|006b|{\"ce_id\": \"é\"}|00ff5c27220a", "t'\\|none|{}|"});
}

TEST_CASE("group commit: the same key again is a duplicate with the first reply, with another body a mismatch") {
  World world;
  Runner runner(world);
  REQUIRE(runner.add(1, "first", uuid(7)));
  REQUIRE(runner.add(2, "in the same batch", uuid(7)));
  REQUIRE(runner.add(3, "in the same batch, another body", uuid(7), kPrintTwo));
  REQUIRE(runner.add(4, "no key"));
  runner.commits.wake();
  CHECK(runner.sink.wait(1).committed == Committed::stored);
  CHECK(runner.sink.wait(2).committed == Committed::duplicate);
  CHECK(runner.sink.wait(2).reply == "reply 1");
  CHECK(runner.sink.wait(3).committed == Committed::mismatch);
  CHECK(runner.sink.wait(3).reply.empty());
  CHECK(runner.sink.wait(4).committed == Committed::stored);
  REQUIRE(runner.add(5, "later", uuid(7)));
  REQUIRE(runner.add(6, "later, another body", uuid(7), kPrintTwo));
  REQUIRE(runner.add(7, "new", uuid(8)));
  runner.commits.wake();
  CHECK(runner.sink.wait(5).committed == Committed::duplicate);
  CHECK(runner.sink.wait(5).reply == "reply 1");
  CHECK(runner.sink.wait(6).committed == Committed::mismatch);
  CHECK(runner.sink.wait(7).committed == Committed::stored);
  CHECK(rows_of(world) == std::vector<std::string>{"first", "no key", "new"});
  const auto metrics = world.metrics.render();
  CHECK(metrics.find("ratchet_committed_total{pool=\"main\"} 3") != std::string::npos);
  CHECK(metrics.find("ratchet_duplicates_total{pool=\"main\"} 2") != std::string::npos);
}

TEST_CASE("group commit: one bad row hurts no neighbour, and the order stays") {
  World world;
  Runner runner(world);
  const int rows = GENERATE(1, 2, 9, 40, 500);
  const auto bad = static_cast<std::uint64_t>(rows / 2);
  std::vector<std::string> expected;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(rows); ++i) {
    const auto id = i % 2 == 0 ? std::optional(uuid(i)) : std::nullopt;
    REQUIRE(runner.add(i, std::to_string(i), id, kPrintOne, i == bad ? "{not json" : "{}"));
    if (i != bad) expected.push_back(std::to_string(i));
  }
  runner.commits.wake();
  const auto said = runner.sink.wait(bad);
  CHECK(said.committed == Committed::refused);
  CHECK(said.reply.starts_with("22P02 "));
  CHECK(runner.sink.count(Committed::stored) == expected.size());
  CHECK(rows_of(world) == expected);
  // Other kinds of bad.
  REQUIRE(runner.add(10'001, "x", {}, kPrintOne, "{}", "k"));
  db::Event zero{};
  zero.topic = std::string_view("a\0b", 3);
  zero.headers = "{}";
  REQUIRE(runner.commits.add(zero, 10'002));
  runner.commits.wake();
  CHECK(runner.sink.wait(10'001).committed == Committed::stored);
  CHECK(runner.sink.wait(10'002).committed == Committed::refused);
  CHECK(runner.sink.twice() == 0);
}

TEST_CASE("group commit: a key in flight elsewhere is in progress for its own event only") {
  World world;
  Runner runner(world);
  auto other = world.connect();
  const std::string append = "select * from ratchet.append('{" +
                             [] {
                               std::string text;
                               for (const auto byte : uuid(40)) {
                                 text += "0123456789abcdef"[byte >> 4];
                                 text += "0123456789abcdef"[byte & 15];
                               }
                               return text;
                             }() +
                             "}', array['" + kPrintOne +
                             "'::bytea], '{theirs}', '{t}', '{k}', '{\"{}\"}', '{elsewhere}')";
  Server::must(other->exec("begin"));
  Server::must(other->exec(append));
  for (std::uint64_t i = 0; i < 64; ++i)
    REQUIRE(runner.add(i, std::to_string(i), uuid(i)));
  runner.commits.wake();
  REQUIRE(eventually([&] { return runner.sink.count() == 64; }));
  CHECK(runner.sink.wait(40).committed == Committed::in_progress);
  CHECK(runner.sink.count(Committed::stored) == 63);
  Server::must(other->exec("commit"));
  REQUIRE(runner.add(100, "again", uuid(40)));
  runner.commits.wake();
  CHECK(runner.sink.wait(100).committed == Committed::duplicate);
  CHECK(runner.sink.wait(100).reply == "theirs");
  CHECK(rows_of(world).size() == 64);
}

TEST_CASE("group commit: across many ends of buckets no key is executed twice and none is lost") {
  World world(6);
  world.ask("update ratchet.ring set idem_width_s = 1, idem_tail_s = 0.3");
  Runner runner(world, 2);
  std::atomic<bool> over{false};
  std::thread rotator([&] {
    auto connection = world.connect("app");
    while (!over) {
      Server::must(connection->exec("select ratchet.idem_rotate()"));
      std::this_thread::sleep_for(5ms);
    }
  });
  std::atomic<std::uint64_t> token{0}, key{0};
  std::mutex mutex;
  std::set<std::string> late;  // keys that a stalled machine kept under way for longer than a tail
  std::vector<std::thread> threads;
  const auto end = Clock::now() + 6s;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (Clock::now() < end) {  // each key some 8 times, all within far less than the shortest guarantee
        const auto k = ++key;
        const auto begun = Clock::now();
        std::vector<std::uint64_t> mine;
        for (int i = 0; i < 8; ++i) {
          mine.push_back(++token);
          if (!runner.add(mine.back(), std::to_string(k), uuid(k))) throw std::runtime_error("not added");
          runner.commits.wake();
          std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
        }
        for (const auto one : mine)
          runner.sink.wait(one);
        std::lock_guard lock(mutex);
        if (Clock::now() - begun > 250ms) late.insert(std::to_string(k));
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  over = true;
  rotator.join();
  CHECK(runner.sink.twice() == 0);
  CHECK(runner.sink.count() == token);
  CHECK(runner.sink.count(Committed::refused) == 0);
  CHECK(runner.sink.count(Committed::outcome_unknown) == 0);
  auto rows = rows_of(world);
  CHECK(rows.size() == runner.sink.count(Committed::stored));
  CHECK(late.size() < key / 2);
  std::map<std::string, int> times;
  for (const auto& row : rows)
    ++times[row];
  CHECK(times.size() == key);
  for (const auto& [row, n] : times) {
    INFO(row);
    CHECK((n == 1 || late.count(row) == 1));
  }
  CHECK(std::stoi(world.ask("select idem_bucket from ratchet.ring")) > 0);
}

TEST_CASE("group commit: what was said about events stays true when their connections are killed") {
  World world(6);
  const int committers = GENERATE(1, 3);
  Runner runner(world, committers);
  std::atomic<bool> over{false};
  std::thread killer([&] {
    while (!over) {
      world.postgres.terminate_backends("query like '%ratchet.append%'");
      std::this_thread::sleep_for(30ms);
    }
  });
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> added{0};
  const auto end = Clock::now() + 3s;
  for (std::uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; Clock::now() < end; ++i) {
        const auto token = t * 10'000'000 + i;
        if (!runner.add(token, std::to_string(token), i % 4 == 0 ? std::optional(uuid(token)) : std::nullopt)) continue;
        ++added;
        if (i % 16 == 0) {
          runner.commits.wake();
          std::this_thread::sleep_for(1ms);
        }
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  over = true;
  killer.join();
  runner.commits.wake();
  REQUIRE(eventually([&] { return runner.sink.count() == added; }));
  CHECK(runner.sink.twice() == 0);
  const auto rows = rows_of(world);
  const std::set<std::string> there(rows.begin(), rows.end());
  CHECK(rows.size() == there.size());
  std::size_t wrong = 0, stored = 0, unknown = 0;
  for (const auto& [token, said] : runner.sink.all()) {
    const bool found = there.count(std::to_string(token)) > 0;
    stored += said.committed == Committed::stored;
    unknown += said.committed == Committed::outcome_unknown;
    if (said.committed == Committed::stored && !found) ++wrong;
    if (said.committed == Committed::nothing_stored && found) ++wrong;
    if (said.committed != Committed::stored && said.committed != Committed::nothing_stored &&
        said.committed != Committed::outcome_unknown) {
      ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(unknown > 0);  // the test has hit commits
  CHECK(stored > 0);
  REQUIRE(runner.add(999'999'999, "alive"));
  runner.commits.wake();
  CHECK(runner.sink.wait(999'999'999).committed == Committed::stored);
}

TEST_CASE("group commit: a connection that died while idle costs no event its answer") {
  World world;
  Runner runner(world);
  for (std::uint64_t i = 0; i < 5; ++i) {
    REQUIRE(runner.add(i, std::to_string(i)));
    runner.commits.wake();
    CHECK(runner.sink.wait(i).committed == Committed::stored);
    const auto pid = committer_pid(world);
    REQUIRE(world.postgres.terminate_backends("pid = " + pid) == 1);
    REQUIRE(eventually([&] { return !std::filesystem::exists("/proc/" + pid); }));  // and with it its socket
  }
}

TEST_CASE("group commit: a frozen server is cut by the watchdog, and the outcome is unknown") {
  World world(4, 300ms);
  Runner runner(world);
  REQUIRE(runner.add(1, "1"));
  runner.commits.wake();
  REQUIRE(runner.sink.wait(1).committed == Committed::stored);
  const auto pid = std::stoi(committer_pid(world));
  world.postgres.freeze_backend(pid);
  REQUIRE(runner.add(2, "2"));
  runner.commits.wake();
  CHECK(runner.sink.wait(2).committed == Committed::outcome_unknown);
  REQUIRE(runner.add(3, "3"));  // others are not kept waiting
  runner.commits.wake();
  CHECK(runner.sink.wait(3).committed == Committed::stored);
  world.postgres.thaw();
}

TEST_CASE("group commit: a statement the server gives up has stored nothing") {
  World world(4, 300ms);
  Runner runner(world);
  auto other = world.connect();
  Server::must(other->exec("begin; lock table ratchet.ring in access exclusive mode"));
  Server::must(world.connect()->exec("alter role app set lock_timeout = 0"));
  REQUIRE(runner.add(1, "1"));
  runner.commits.wake();
  CHECK(runner.sink.wait(1).committed == Committed::nothing_stored);
  Server::must(other->exec("rollback"));
  CHECK(rows_of(world).empty());
}

TEST_CASE("group commit: a withdrawn event has no outcome and no row, one not withdrawn has both") {
  World world;
  Runner runner(world);
  constexpr std::uint64_t kThreads = 8, kEach = 1500;
  std::vector<std::set<std::uint64_t>> withdrawn(kThreads);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t + 1));
      for (std::uint64_t i = 0; i < kEach; ++i) {
        const auto token = t * 1'000'000 + i;
        const auto place =
            runner.add(token, std::to_string(token), i % 2 == 0 ? std::optional(uuid(token)) : std::nullopt);
        if (!place) throw std::runtime_error("not added");
        if (random() % 3 == 0) runner.commits.wake();
        if (random() % 2 == 0) std::this_thread::yield();
        if (random() % 2 == 0 && runner.commits.withdraw(*place, token)) withdrawn[t].insert(token);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  runner.commits.wake();
  std::set<std::uint64_t> gone;
  for (const auto& some : withdrawn)
    gone.insert(some.begin(), some.end());
  CHECK(!gone.empty());
  CHECK(gone.size() < kThreads * kEach);
  runner.stop(Leave::asked, 30s);
  CHECK(runner.sink.count() + gone.size() == kThreads * kEach);
  CHECK(runner.sink.twice() == 0);
  const auto all = runner.sink.all();
  std::size_t wrong = 0;
  for (const auto token : gone)
    wrong += all.count(token);
  const auto rows = rows_of(world);
  for (const auto& row : rows)
    wrong += gone.count(std::stoull(row));
  CHECK(wrong == 0);
  CHECK(rows.size() == all.size());
}

TEST_CASE("group commit: a full queue refuses, and takes again once batches are done and destroyed") {
  World world;
  Runner runner(world, 1, 100'000);
  const std::string payload(1000, 'x');
  std::uint64_t token = 0;
  Result<std::uint64_t, db::AddError> last = std::uint64_t{0};
  while ((last = runner.add(token, payload)))
    ++token;
  CHECK(last.error() == db::AddError::queue_full);
  CHECK(token > 80);
  CHECK(token <= 100);
  runner.commits.wake();
  REQUIRE(eventually([&] { return runner.sink.count(Committed::stored) == token; }));
  REQUIRE(eventually([&] { return bool(runner.add(token, payload)); }));
  runner.commits.wake();
  CHECK(runner.sink.wait(token).committed == Committed::stored);
  CHECK(!runner.add(token + 1, std::string(100'001, 'y')));
}

TEST_CASE("group commit: more than a batch can hold becomes several, in order") {
  World world;
  Runner runner(world);
  const std::size_t rows = 2 * db::Batch::kMostRows + 5000;
  for (std::uint64_t i = 0; i < rows; ++i)
    REQUIRE(runner.add(i, std::to_string(i)));
  const auto place = runner.add(rows, "withdrawn");
  REQUIRE(place);
  const bool gone = runner.commits.withdraw(*place, rows);
  runner.commits.wake();
  REQUIRE(eventually([&] { return runner.sink.count(Committed::stored) >= rows; }));
  CHECK(runner.sink.batches() >= 3);
  const auto found = rows_of(world);
  REQUIRE(found.size() == rows + (gone ? 0 : 1));
  std::size_t disorder = 0;
  for (std::size_t i = 0; i < rows; ++i)
    disorder += found[i] != std::to_string(i);
  CHECK(disorder == 0);
}

TEST_CASE("group commit: asked to stop, it commits what is queued; then it takes nothing, then it can start again") {
  World world;
  Runner runner(world, 2);
  for (std::uint64_t i = 0; i < 1000; ++i)
    REQUIRE(runner.add(i, std::to_string(i)));
  runner.stop(Leave::asked, 30s);
  CHECK(runner.sink.count(Committed::stored) == 1000);
  const auto late = runner.add(1000, "late");
  REQUIRE(!late);
  CHECK(late.error() == db::AddError::not_connected);
  // The session went home as it was.
  auto lease = world.pool->lease(world.time.now() + 5s);
  REQUIRE(lease);
  CHECK(Server::must((*lease)->exec("show lock_timeout")) == "5s");
  runner.start();
  REQUIRE(runner.add(1001, "again"));
  runner.commits.wake();
  CHECK(runner.sink.wait(1001).committed == Committed::stored);
  CHECK(rows_of(world).size() == 1001);
}

TEST_CASE(
    "group commit: a fault ends what was not begun as nothing stored, at once, and cuts the rest when patience ends") {
  World world(4, 20'000ms);
  Runner runner(world);
  REQUIRE(runner.add(1, "1"));
  runner.commits.wake();
  REQUIRE(runner.sink.wait(1).committed == Committed::stored);
  const auto pid = std::stoi(committer_pid(world));
  world.postgres.freeze_backend(pid);
  REQUIRE(runner.add(2, "in flight"));
  runner.commits.wake();
  REQUIRE(eventually([&] {  // taken: it can be withdrawn no more
    static std::uint64_t next = 1000;
    const auto place = runner.add(++next, "probe");
    const bool taken = place && (*place >> 16) > 1;
    return taken;
  }));
  std::thread stopping([&] { runner.stop(Leave::fault, 2s); });
  REQUIRE(eventually([&] { return runner.sink.count(Committed::nothing_stored) > 0; }));
  CHECK(runner.sink.all().count(2) == 0);  // still under way
  stopping.join();
  CHECK(runner.sink.wait(2).committed == Committed::outcome_unknown);
  CHECK(runner.sink.twice() == 0);
  world.postgres.thaw();
}

TEST_CASE("group commit: without a connection it does not start, and says which database") {
  World world(2);
  auto one = world.pool->lease(world.time.now() + 10s);  // the other one is kept for probes
  REQUIRE(one);
  db::GroupCommit commits({*world.pool, world.time, world.log, world.metrics, 1000, 1});
  Collector sink;
  commits.set_sink(&sink);
  Patience patience(world.time.now() + 200ms);
  auto started = commits.start(patience);
  REQUIRE(!started);
  CHECK(started.error().kind == FaultKind::timed_out);
  CHECK(started.error().text.find("database main") != std::string::npos);
  CHECK(commits.add({}, 1).error() == db::AddError::not_connected);
}

TEST_CASE("group commit: a missing function is a fault of the start") {
  World world(2);
  world.ask("revoke execute on function ratchet.append from ratchet_run");
  world.ask("alter function ratchet.append rename to append_gone");
  db::GroupCommit commits({*world.pool, world.time, world.log, world.metrics, 1000, 1});
  Collector sink;
  commits.set_sink(&sink);
  Patience patience(world.time.now() + 5s);
  auto started = commits.start(patience);
  REQUIRE(!started);
  CHECK(started.error().level == 1);
}

TEST_CASE("group commit: without a thread it is not started, and that is a fault") {
  World world;
  Collector sink;
  db::GroupCommit commits({*world.pool, world.time, world.log, world.metrics, 64u << 20, 2});
  commits.set_sink(&sink);
  Patience patience(world.time.now() + 30s);
  {
    const NoMoreThreads none;
    const auto started = commits.start(patience);
    REQUIRE_FALSE(started);
    CHECK(started.error().kind == FaultKind::out_of_files);
    CHECK(started.error().text.starts_with("database main: no thread for the committer: "));
  }
  db::Event event{};
  CHECK(commits.add(event, 1).error() == db::AddError::not_connected);
  REQUIRE(commits.start(patience));
  commits.stop(patience, Leave::asked);
}

TEST_CASE("group commit: a connection that is frozen while it is prepared does not hold up the end") {
  World world(3, 600s);
  REQUIRE(eventually([&] { return world.pool->counts().open == 3; }));
  Runner runner(world);
  REQUIRE(runner.add(1, "one"));
  runner.commits.wake();
  REQUIRE(runner.sink.wait(1).committed == Committed::stored);
  // The committer's own is killed, every other one of the pool hangs; the postmaster, too, so no new one helps.
  const std::string own = world.ask(
      "select pid from pg_stat_activity where usename = 'app' and query like '%ratchet.append%' limit 1");
  const std::string others = world.ask(
      "select string_agg(pid::text, ' ') from pg_stat_activity where usename = 'app' and pid <> " + own);
  std::istringstream pids(others);
  world.postgres.freeze_postmaster();
  for (pid_t pid = 0; pids >> pid;)
    world.postgres.freeze_backend(pid);
  world.ask("select pg_terminate_backend(" + own + ")");
  // One of the two frozen ones is the probe's: the committer has the other.
  REQUIRE(eventually([&] { return world.pool->counts().open == 2 && world.pool->counts().idle == 1; }));
  runner.stop(Leave::asked, 300ms);  // hangs for ten minutes where it cannot cut
  CHECK(true);
  world.postgres.thaw();
}

TEST_CASE("group commit: an idle connection that is frozen is given back within the stop's patience") {
  World world(4, 600s);
  Runner runner(world);
  REQUIRE(runner.add(1, "one"));
  runner.commits.wake();
  REQUIRE(runner.sink.wait(1).committed == Committed::stored);
  world.postgres.freeze_backend(std::stoi(committer_pid(world)));
  runner.stop(Leave::asked, 300ms);  // hangs for ten minutes where nothing but the call's own time binds it
  CHECK(true);
  world.postgres.thaw();
}

TEST_CASE("group commit: a full disk stores nothing and is alarmed until there is room again") {
  // In a mount namespace of our own, which the server inherits: nothing is left behind, whatever happens.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    WARN("not allowed to mount a small disk here");
    return;
  }
  World world;
  const std::string disk = world.postgres.folder() + "/disk";
  std::filesystem::create_directory(disk);
  struct stat owner {};
  REQUIRE(::stat((world.postgres.folder() + "/data").c_str(), &owner) == 0);
  const std::string whose = "mode=0700,uid=" + std::to_string(owner.st_uid) + ",gid=" + std::to_string(owner.st_gid);
  REQUIRE(::mount("tmpfs", disk.c_str(), "tmpfs", 0, ("size=6m," + whose).c_str()) == 0);
  world.ask("create tablespace small location '" + disk + "'");
  world.ask("alter table all in tablespace pg_default set tablespace small");
  world.ask("alter index all in tablespace pg_default set tablespace small");
  {
    Runner runner(world);
    std::uint64_t token = 0;
    std::minstd_rand random(1);
    const std::string large(100'000, 'x');
    Said last{Committed::stored, ""};
    while (last.committed == Committed::stored && token < 500) {
      std::string payload = large;
      for (auto& c : payload)
        c = static_cast<char>(random());  // does not compress
      REQUIRE(runner.add(++token, payload));
      runner.commits.wake();
      last = runner.sink.wait(token);
    }
    CHECK(last.committed == Committed::nothing_stored);
    REQUIRE(eventually([&] { return world.alarms.list().size() == 1; }));
    CHECK(world.alarms.list()[0].id == "pool.main.disk-full");
    CHECK(world.alarms.list()[0].text.starts_with("database main: could not extend file \""));
    CHECK(world.alarms.list()[0].text.find("No space left on device") != std::string::npos);
    CHECK(world.faults.count == 0);

    REQUIRE(::mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT, "size=64m") == 0);
    REQUIRE(runner.add(++token, large));
    runner.commits.wake();
    CHECK(runner.sink.wait(token).committed == Committed::stored);
    CHECK(eventually([&] { return world.alarms.list().empty(); }));
    CHECK(rows_of(world, "select 'x' from ratchet.outbox").size() == token - 1);
  }
  world.postgres.stop();
  ::umount2(disk.c_str(), MNT_DETACH);
}
