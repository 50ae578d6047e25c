// Everything that could make a reader of a growing table lose a row, at once: transactions that commit late,
// savepoints, rollbacks, two-phase commits, transactions held open, early transaction numbers, readers that die at any
// step, and tables truncated behind them. What was committed must be what was published, in order for each key. Two
// readers that do it the obvious wrong way show that the test can see.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "levels/1_database/outbox.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

enum class Way { window, greater_seq, by_txid };

constexpr int kKeys = 60, kWriters = 16;

struct Record {
  std::string key, payload;
};

struct Truth {
  std::mutex mutex;
  std::map<std::string, std::string> committed;  // payload -> key
  std::vector<Record> published;                 // "Kafka"
  std::map<std::string, int> kinds;
  std::vector<std::string> errors;
  int deaths = 0, truncations = 0;
  std::atomic<bool> writers_done{false}, readers_done{false}, calm{false};

  void wrong(const std::string& text) {
    const std::lock_guard lock(mutex);
    errors.push_back(text);
  }
};

struct Keys {
  std::mutex locks[kKeys];
  int versions[kKeys] = {};
};

// One transaction of a writer. Keys are locked until it has ended, so versions of a key are in causal order.
class Writer {
 public:
  Writer(Server& server, Truth& truth, Keys& keys, int number)
      : connection_(server.connect()),
        truth_(truth),
        keys_(keys),
        random_(static_cast<unsigned>(number + 1)),
        number_(number) {}

  void transaction() {
    static const char* const all[] = {"plain",    "plain", "early",        "savepoint", "undone",
                                      "rollback", "2pc",   "2pc rollback", "multi",     "long"};
    const std::string kind = all[random_() % std::size(all)];
    const std::string gid = "g" + std::to_string(number_) + "-" + std::to_string(++serial_);
    std::vector<int> mine;
    std::vector<std::pair<int, std::string>> rows;
    std::map<int, int> version;
    run("begin");
    if (kind == "early" || random_() % 5 == 0) {
      run("select pg_current_xact_id()");
      nap(60);
    }
    const int count = kind == "multi" ? 15 : 1 + static_cast<int>(random_() % 3);
    for (int i = 0; i < count; ++i) {
      const int k = static_cast<int>(random_() % kKeys);
      if (std::find(mine.begin(), mine.end(), k) == mine.end()) {
        if (!keys_.locks[k].try_lock()) continue;
        mine.push_back(k);
        version[k] = keys_.versions[k];
      }
      const std::string payload = std::to_string(version[k] + 1) + ":" + gid + "-" + std::to_string(i);
      const std::string emit = "select ratchet.emit('t', 'k" + std::to_string(k) + "', '" + payload + "')";
      const bool inside = (kind == "savepoint" || kind == "undone") && random_() % 10 < 7;
      if (inside) run("savepoint s");
      run(emit);
      if (inside) run(kind == "undone" ? "rollback to savepoint s" : "release savepoint s");
      if (!inside || kind != "undone") {
        rows.emplace_back(k, payload);
        ++version[k];
      }
      nap(8);
    }
    nap(kind == "long" ? 500 : 20);
    const bool kept = end(kind, gid);
    {
      const std::lock_guard lock(truth_.mutex);
      ++truth_.kinds[kind];
      if (kept) {
        for (const auto& [k, payload] : rows)
          truth_.committed[payload] = "k" + std::to_string(k);
      }
    }
    for (const int k : mine) {
      if (kept) keys_.versions[k] = version[k];
      keys_.locks[k].unlock();
    }
    nap(20);
  }

 private:
  void run(const std::string& sql) {
    auto done = connection_->exec(sql);
    if (!done) truth_.wrong(sql + ": " + done.error().text);
  }
  void nap(unsigned most_ms) { std::this_thread::sleep_for(std::chrono::microseconds(random_() % (most_ms * 1000))); }
  bool end(const std::string& kind, const std::string& gid) {
    if (kind == "rollback") return run("rollback"), false;
    if (kind != "2pc" && kind != "2pc rollback") return run("commit"), true;
    run("prepare transaction '" + gid + "'");
    nap(200);
    run((kind == "2pc" ? "commit prepared '" : "rollback prepared '") + gid + "'");
    return kind == "2pc";
  }

  std::unique_ptr<db::Connection> connection_;
  Truth& truth_;
  Keys& keys_;
  std::minstd_rand random_;
  int number_, serial_ = 0;
};

// One life of a relay; it may end at any step, without a word.
class Reader {
 public:
  Reader(Server& server, Truth& truth, std::string name, unsigned seed, double risk)
      : server_(server),
        truth_(truth),
        name_(std::move(name)),
        random_(seed),
        risk_(risk),
        connection_(server.connect("app")),
        outbox_(*connection_) {}

  void live() {
    if (auto prepared = outbox_.prepare(); !prepared) return truth_.wrong(prepared.error().text);
    std::optional<db::RelayLease> lease;
    while (!lease && !truth_.readers_done) {
      auto got = outbox_.acquire(name_, kTtl);
      if (!got) return truth_.wrong(got.error().text);
      lease = *got;
      if (!lease) std::this_thread::sleep_for(10ms);
    }
    if (!lease || dies()) return;
    epoch_ = lease->epoch;
    auto done = lease->cursor;
    auto saved = Clock::now();
    while (!truth_.readers_done) {
      auto page = outbox_.read(done, 40);
      if (!page) return truth_.wrong(page.error().text);
      if (dies() || !publish(*page)) return;
      const bool moved = !(page->after == done);
      done = page->after;
      if (dies()) return;
      if (moved && Clock::now() - saved > 50ms) {
        auto kept = outbox_.advance(epoch_, kTtl, done);
        if (!kept) return truth_.wrong(kept.error().text);
        if (!*kept || dies()) return;
        saved = Clock::now();
        reclaim();
      }
      if (!moved) {
        std::this_thread::sleep_for(5ms);
        if (auto ours = outbox_.beat(epoch_, kTtl); !ours || !*ours) return;
        if (auto kept = outbox_.advance(epoch_, kTtl, done); !kept || !*kept) return;
      }
    }
    if (!outbox_.release(epoch_)) truth_.wrong("release");
  }

 private:
  static constexpr auto kTtl = 400ms;
  bool dies() {
    if (truth_.calm || std::uniform_real_distribution<>(0, 1)(random_) >= risk_) return false;
    const std::lock_guard lock(truth_.mutex);
    ++truth_.deaths;
    return true;
  }
  bool publish(const db::Page& page) {
    for (const auto& row : page.rows) {
      {
        const std::lock_guard lock(truth_.mutex);
        truth_.published.push_back({*row.key, *row.payload});
      }
      if (dies()) return false;
    }
    return true;
  }
  void reclaim() {
    auto said = connection_->exec("select ratchet.outbox_reclaim(" + std::to_string(epoch_) + ", 60000, '1 s')");
    if (!said) return truth_.wrong(said.error().text);
    const std::lock_guard lock(truth_.mutex);
    truth_.truncations += said->text(0, 0).find("truncated") != std::string_view::npos;
  }

  Server& server_;
  Truth& truth_;
  std::string name_;
  std::minstd_rand random_;
  double risk_;
  std::unique_ptr<db::Connection> connection_;
  db::Outbox outbox_;
  std::int64_t epoch_ = 0;
};

// The obvious ways.
void read_wrongly(Server& server, Truth& truth, Way way) {
  auto connection = server.connect();
  db::Outbox outbox(*connection);
  if (!outbox.prepare()) return truth.wrong("prepare");
  auto lease = outbox.acquire("wrong", 60s);
  auto cursor = (*lease)->cursor;
  std::int64_t last = -1;
  while (!truth.readers_done) {
    std::vector<Record> records;
    if (way == Way::greater_seq) {
      auto rows = connection->exec("select seq, key, payload from ratchet.outbox where seq > " + std::to_string(last) +
                                   " order by seq limit 200");
      if (!rows) return truth.wrong(rows.error().text);
      for (std::size_t i = 0; i < rows->size(); ++i)
        records.push_back({rows->bytes(i, 1), rows->bytes(i, 2)});
      if (rows->size() > 0) last = rows->integer(rows->size() - 1, 0);
    } else {
      std::this_thread::sleep_for(300ms);
      auto page = outbox.read(cursor, 20'000);
      if (!page) return truth.wrong(page.error().text);
      std::map<std::int64_t, std::int64_t> txid;
      auto rows = connection->exec("select seq, txid from ratchet.outbox");
      if (!rows) return truth.wrong(rows.error().text);
      for (std::size_t i = 0; i < rows->size(); ++i)
        txid[rows->integer(i, 0)] = rows->integer(i, 1);
      std::stable_sort(page->rows.begin(), page->rows.end(),
                       [&](const auto& a, const auto& b) { return txid[a.seq] < txid[b.seq]; });
      for (const auto& row : page->rows)
        records.push_back({*row.key, *row.payload});
      cursor = page->after;
    }
    {
      const std::lock_guard lock(truth.mutex);
      truth.published.insert(truth.published.end(), records.begin(), records.end());
    }
    if (records.empty()) std::this_thread::sleep_for(5ms);
  }
}

struct Verdict {
  std::size_t committed = 0, lost = 0, ghosts = 0, inversions = 0, repeats = 0;
};

Verdict judge(const Truth& truth) {
  Verdict verdict;
  std::set<std::string> first;
  std::map<std::string, int> latest;
  for (const auto& record : truth.published) {
    if (!first.insert(record.payload).second) {
      ++verdict.repeats;
      continue;
    }
    const auto known = truth.committed.find(record.payload);
    verdict.ghosts += known == truth.committed.end() || known->second != record.key;
    const int version = std::stoi(record.payload);
    auto& seen = latest[record.key];
    verdict.inversions += version <= seen;
    seen = std::max(seen, version);
  }
  verdict.committed = truth.committed.size();
  for (const auto& [payload, key] : truth.committed)
    verdict.lost += first.count(payload) == 0;
  return verdict;
}

void run(Server& server, Truth& truth, Way way, std::chrono::milliseconds how_long) {
  server.migrate();
  Keys keys;
  std::vector<std::thread> readers, writers;
  if (way == Way::window) {
    for (const char* name : {"X", "Y"}) {
      readers.emplace_back([&, name] {
        for (unsigned life = 1; !truth.readers_done; ++life) {  // sometimes under its old name: then it need not wait
          Reader(server, truth, name + std::to_string(life / 2), life * 77 + static_cast<unsigned>(name[0]), 0.006)
              .live();
        }
      });
    }
  } else {
    readers.emplace_back([&] { read_wrongly(server, truth, way); });
  }
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      Writer writer(server, truth, keys, i);
      while (!truth.writers_done)
        writer.transaction();
    });
  }
  // Held open nearly all the time: one without rows, one with a row, a prepared one, one with an old snapshot.
  std::vector<std::unique_ptr<db::Connection>> held;
  for (int i = 0; i < 4; ++i)
    held.push_back(server.connect());
  Server::must(held[0]->exec("begin; select pg_current_xact_id()"));
  Server::must(held[1]->exec("begin; select ratchet.emit('t', 'h1', '1:h1')"));
  Server::must(held[2]->exec("begin; select ratchet.emit('t', 'h2', '1:h2'); prepare transaction 'held'"));
  Server::must(held[3]->exec("begin isolation level repeatable read; select pg_current_snapshot()"));
  std::this_thread::sleep_for(how_long * 8 / 10);
  Server::must(
      held[3]->exec("select ratchet.emit('t', 'h3', '1:h3')"));  // into the slot its old snapshot calls the present one
  Server::must(held[3]->exec("commit"));
  Server::must(held[1]->exec("commit"));
  Server::must(held[2]->exec("commit prepared 'held'"));
  {
    const std::lock_guard lock(truth.mutex);
    for (const char* h : {"h1", "h2", "h3"})
      truth.committed[std::string("1:") + h] = h;
  }
  std::this_thread::sleep_for(how_long * 2 / 10);
  Server::must(held[0]->exec("rollback"));
  if (way == Way::window) {  // a busy machine takes longer until a slot has been reclaimed under load
    eventually([&] {
      const std::lock_guard lock(truth.mutex);
      return truth.truncations > 0;
    });
  }
  truth.writers_done = true;
  for (auto& writer : writers)
    writer.join();
  truth.calm = true;  // the rest is read without accidents
  const auto seen = [&] {
    const std::lock_guard lock(truth.mutex);
    std::set<std::string> all;
    for (const auto& record : truth.published)
      all.insert(record.payload);
    return all.size() >= truth.committed.size();
  };
  if (way == Way::window) {
    eventually(seen);
  } else {
    std::this_thread::sleep_for(1s);
  }
  truth.readers_done = true;
  for (auto& reader : readers)
    reader.join();
}

const std::vector<std::string> kConfig = {"max_prepared_transactions = 30", "max_connections = 60"};

}  // namespace

TEST_CASE(
    "outbox truth: what was committed is what is published, in each key's order, whatever readers and writers suffer") {
  Server server(kConfig);
  Truth truth;
  run(server, truth, Way::window, 8s);
  const auto verdict = judge(truth);
  for (const auto& error : truth.errors)
    UNSCOPED_INFO(error);
  CHECK(truth.errors.empty());
  UNSCOPED_INFO("committed " << verdict.committed << ", repeats " << verdict.repeats << ", deaths " << truth.deaths
                             << ", truncations " << truth.truncations);
  CHECK(verdict.lost == 0);
  CHECK(verdict.ghosts == 0);
  CHECK(verdict.inversions == 0);
  CHECK(verdict.committed > 300);
  CHECK(truth.deaths > 3);
  CHECK(truth.truncations > 0);
  CHECK(truth.kinds.size() >= 9);
}

TEST_CASE("outbox truth: the test sees that `seq > last` loses rows") {
  Server server(kConfig);
  Truth truth;
  run(server, truth, Way::greater_seq, 4s);
  CHECK(judge(truth).lost > 0);
}

TEST_CASE("outbox truth: the test sees that the order of transaction numbers inverts keys") {
  Server server(kConfig);
  Truth truth;
  run(server, truth, Way::by_txid, 5s);
  const auto verdict = judge(truth);
  CHECK(verdict.lost == 0);
  CHECK(verdict.inversions > 0);
}
