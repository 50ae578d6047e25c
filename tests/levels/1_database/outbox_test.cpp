#include "levels/1_database/outbox.hpp"

#include <algorithm>
#include <random>
#include <set>

#include "levels/1_database/commit_attempt.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

constexpr auto kTtl = 10s;

// A relay's session: a connection and what it says through it.
struct Session {
  explicit Session(Server& server, const std::string& user = "app")
      : connection(server.connect(user)), outbox(*connection) {
    auto prepared = outbox.prepare();
    if (!prepared) throw std::runtime_error(prepared.error().text);
  }
  db::RelayLease acquire(const std::string& owner = "me") {
    auto lease = outbox.acquire(owner, kTtl);
    if (!lease) throw std::runtime_error(lease.error().text);
    if (!*lease) throw std::runtime_error("the lease is somebody else's");
    return **lease;
  }
  db::Page read(const db::Cursor& cursor, int most) {
    auto page = outbox.read(cursor, most);
    if (!page) throw std::runtime_error(page.error().text);
    return *std::move(page);
  }
  std::unique_ptr<db::Connection> connection;
  db::Outbox outbox;
};

std::vector<std::string> payloads(const db::Page& page) {
  std::vector<std::string> all;
  for (const auto& row : page.rows)
    all.push_back(row.payload.value_or("none"));
  return all;
}

void emit(Server& server, int from, int to) {
  server.ask(
      "select count(ratchet.emit('t', 'k', convert_to(i::text, 'UTF8'), '{\"ce_id\": \"x\"}')) from generate_series(" +
      std::to_string(from) + ", " + std::to_string(to) + ") i");
}

std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> all;
  for (int i = from; i <= to; ++i)
    all.push_back(std::to_string(i));
  return all;
}

std::vector<std::string> operator+(std::vector<std::string> one, const std::vector<std::string>& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

}  // namespace

TEST_CASE("outbox: a lease is one owner's until it ends, is released, or he comes again") {
  Server server;
  server.migrate();
  Session one(server), two(server);
  const auto lease = one.acquire("one");
  CHECK(lease.cursor.last_seq == -1);
  CHECK(!lease.cursor.snap_to);
  auto refused = two.outbox.acquire("two", kTtl);
  REQUIRE(refused);
  CHECK(!*refused);
  CHECK(*one.outbox.beat(lease.epoch, kTtl));
  CHECK(*one.outbox.release(lease.epoch));
  CHECK(!*one.outbox.beat(lease.epoch + 1, kTtl));
  const auto next = two.acquire("two");
  CHECK(next.epoch == lease.epoch + 1);
  CHECK(two.acquire("two").epoch == next.epoch + 1);  // the same owner, restarted
  REQUIRE(*two.outbox.beat(next.epoch + 1, 1ms));
  CHECK(eventually([&] {
    auto taken = one.outbox.acquire("one", kTtl);
    return taken && *taken;
  }));
}

TEST_CASE("outbox: who has lost the lease moves nothing, however it was lost") {
  Server server;
  server.migrate();
  emit(server, 1, 3);
  Session one(server), two(server);
  const auto lease = one.acquire("one");
  const auto page = one.read(lease.cursor, 10);
  REQUIRE(page.rows.size() == 3);
  CHECK(!*two.outbox.advance(lease.epoch, kTtl, page.after));  // the right epoch in another session
  CHECK(!*two.outbox.beat(lease.epoch, kTtl));
  CHECK(!*two.outbox.release(lease.epoch));
  CHECK(*two.outbox.reclaim(lease.epoch) == "not mine");
  CHECK(!*two.outbox.bury(lease.epoch, kTtl, page.after, page.rows[0], "c", "e"));
  REQUIRE(*one.outbox.release(lease.epoch));
  const auto other = two.acquire("two");
  CHECK(!*one.outbox.advance(lease.epoch, kTtl, page.after));  // an old epoch
  CHECK(!*one.outbox.bury(lease.epoch, kTtl, page.after, page.rows[0], "c", "e"));
  CHECK(server.ask("select count(*) from ratchet.dead_letter") == "0");
  auto beyond = page.after;
  beyond.snap_from = "99999999:99999999:";
  auto refused = two.outbox.advance(other.epoch, kTtl, beyond);
  REQUIRE(!refused);
  CHECK(refused.error().sqlstate == "55000");
  CHECK(payloads(two.read(other.cursor, 10)) == numbers(1, 3));
}

TEST_CASE("outbox: pages come in order, whole, and go on where they ended") {
  Server server;
  server.migrate();
  Session relay(server);
  auto lease = relay.acquire();
  CHECK(relay.read(lease.cursor, 10).rows.empty());
  CHECK(relay.read(lease.cursor, 10).after == lease.cursor);
  emit(server, 1, 100);
  std::vector<std::string> seen;
  auto cursor = lease.cursor;
  for (int pages = 0; pages < 20; ++pages) {
    const auto page = relay.read(cursor, 30);
    if (page.rows.empty() && !page.after.snap_to) break;
    seen = seen + payloads(page);
    if (pages == 1) emit(server, 101, 110);  // behind the window
    cursor = page.after;
    REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, cursor));
    lease = relay.acquire();  // what somebody new would get
    CHECK(lease.cursor == cursor);
  }
  CHECK(seen == numbers(1, 110));
}

TEST_CASE("outbox: a cursor saved in mid-page goes on behind the row") {
  Server server;
  server.migrate();
  Session relay(server);
  const auto lease = relay.acquire();
  emit(server, 1, 50);
  for (const int most : {1000, 20}) {  // a window in one page; a page of a larger window
    const auto page = relay.read(lease.cursor, most);
    CHECK(db::cursor_after(lease.cursor, page, 0) == lease.cursor);
    CHECK(db::cursor_after(lease.cursor, page, page.rows.size()) == page.after);
    const auto middle = db::cursor_after(lease.cursor, page, 7);
    emit(server, 1000, 1003);  // behind the window: not between
    std::vector<std::string> rest;
    auto cursor = middle;
    while (true) {
      const auto next = relay.read(cursor, 9);
      if (!cursor.snap_to) break;
      rest = rest + payloads(next);
      cursor = next.after;
    }
    CHECK(rest.size() >= 43);
    CHECK(std::vector<std::string>(rest.begin(), rest.begin() + 43) == numbers(8, 50));
  }
}

TEST_CASE("outbox: rows carry their bytes, nulls and headers as they were") {
  Server server;
  server.migrate();
  server.ask("select ratchet.emit('tö', '\\x00ff', '\\x0001fe0a', '{\"b\": \"ü\\\"\"}')");
  server.ask("select ratchet.emit('t', null, null)");
  server.ask("select ratchet.emit('t', '', '')");
  Session relay(server);
  const auto page = relay.read(relay.acquire().cursor, 10);
  REQUIRE(page.rows.size() == 3);
  CHECK(page.rows[0].topic == "tö");
  CHECK(page.rows[0].key == std::string("\0\xff", 2));
  CHECK(page.rows[0].payload == std::string("\0\1\xfe\n", 4));
  CHECK(page.rows[0].headers == "{\"b\": \"ü\\\"\"}");
  CHECK(!page.rows[1].key);
  CHECK(!page.rows[1].payload);
  CHECK(page.rows[1].headers == "{}");
  CHECK(page.rows[2].key == "");
  CHECK(page.rows[2].payload == "");
  CHECK(page.rows[0].seq < page.rows[1].seq);
}

TEST_CASE(
    "outbox: in another cluster the old transaction numbers mean nothing, and all that is left is published again") {
  Server server;
  server.migrate();
  emit(server, 1, 20);
  {
    Session relay(server);
    const auto lease = relay.acquire();
    const auto page = relay.read(lease.cursor, 100);
    REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, page.after));
    REQUIRE(*relay.outbox.release(lease.epoch));
  }
  const std::string world = GENERATE("system_id = 1", "db = 1", "snap_from = '99999999:99999999:'");
  server.ask("update ratchet.relay set " + world);
  emit(server, 21, 30);
  Session relay(server);
  const auto lease = relay.acquire();
  CHECK(lease.republished == 30);
  CHECK(payloads(relay.read(lease.cursor, 100)) == numbers(1, 30));
}

TEST_CASE("outbox: reclaiming empties what is published and nothing else") {
  Server server;
  server.migrate();
  Session relay(server);
  const auto lease = relay.acquire();
  auto cursor = lease.cursor;
  const auto reclaim = [&] {
    return Server::must(
        relay.connection->exec("select ratchet.outbox_reclaim(" + std::to_string(lease.epoch) + ", 1)"));
  };
  emit(server, 1, 10);
  CHECK(reclaim() == "writing 1");
  CHECK(reclaim().empty());  // not published
  auto open = server.connect();
  Server::must(open->exec("begin"));
  const auto page = relay.read(cursor, 100);
  cursor = page.after;
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, cursor));
  Server::must(open->exec("lock table ratchet.outbox_0 in access share mode"));
  CHECK(reclaim() == "busy 0 ");  // somebody looks at it: not waited for
  Server::must(open->exec("rollback"));
  CHECK(reclaim() == "truncated 0 ");
  CHECK(server.ask("select count(*) from ratchet.outbox") == "0");
  CHECK(relay.outbox.reclaim(lease.epoch));
  CHECK(relay.outbox.rotate_idempotency());
}

TEST_CASE("outbox: stats tell how far behind the relay is") {
  Server server;
  server.migrate();
  Session relay(server);
  const auto lease = relay.acquire();
  auto stats = relay.outbox.stats();
  REQUIRE(stats);
  CHECK(stats->unpublished_rows == 0);
  CHECK(stats->oldest_seconds == 0);
  CHECK(stats->dead_letters == 0);
  const auto empty_bytes = stats->bytes;
  emit(server, 1, 100);
  auto open = server.connect();
  Server::must(open->exec("begin"));
  Server::must(open->exec("select ratchet.emit('t', 'k', 'late')"));
  stats = relay.outbox.stats();
  CHECK(stats->unpublished_rows == 100);
  CHECK(stats->oldest_seconds > 0);
  CHECK(stats->oldest_seconds < 300);
  CHECK(stats->bytes > empty_bytes);
  const auto first = relay.read(lease.cursor, 40);  // a window in pages
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, first.after));
  CHECK(relay.outbox.stats()->unpublished_rows == 60);
  emit(server, 101, 105);
  CHECK(relay.outbox.stats()->unpublished_rows == 65);
  auto rest = relay.read(first.after, 1000);
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, rest.after));
  CHECK(relay.outbox.stats()->unpublished_rows == 5);
  Server::must(open->exec("commit"));  // late, before the cursor by number, ahead of it in truth
  CHECK(relay.outbox.stats()->unpublished_rows == 6);
  emit(server, 1, 30'000);
  stats = relay.outbox.stats();
  CHECK(stats->unpublished_rows >= 30'006);
  CHECK(stats->unpublished_rows < 31'000);
  auto cursor = rest.after;
  for (int pages = 0; pages < 4; ++pages)
    cursor = relay.read(cursor, 7000).after;
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, cursor));
  stats = relay.outbox.stats();
  CHECK(stats->unpublished_rows >= 2006);
  CHECK(stats->unpublished_rows < 3000);
  CHECK(stats->oldest_seconds > 0);
  cursor = relay.read(cursor, 7000).after;
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, cursor));
  stats = relay.outbox.stats();
  CHECK(stats->unpublished_rows == 0);
  CHECK(stats->oldest_seconds == 0);
}

TEST_CASE("outbox: a dead letter and the cursor move together") {
  Server server;
  server.migrate();
  emit(server, 1, 10);
  Session relay(server);
  const auto lease = relay.acquire();
  const auto page = relay.read(lease.cursor, 100);
  const auto past = db::cursor_after(lease.cursor, page, 4);
  auto buried = relay.outbox.bury(lease.epoch, kTtl, past, page.rows[3], "MSG_SIZE_TOO_LARGE", "too large");
  REQUIRE(buried);
  CHECK(*buried);
  CHECK(server.ask(
            "select topic || convert_from(key, 'UTF8') || convert_from(payload, 'UTF8') || headers || code || error "
            "from ratchet.dead_letter") == "tk4{\"ce_id\": \"x\"}MSG_SIZE_TOO_LARGEtoo large");
  CHECK(relay.outbox.stats()->dead_letters == 1);
  CHECK(relay.outbox.stats()->unpublished_rows == 6);
  CHECK(payloads(relay.read(past, 100)) == numbers(5, 10));

  server.ask("update ratchet.dead_letter_count set most = 1");
  const auto next = db::cursor_after(lease.cursor, page, 5);
  auto full = relay.outbox.bury(lease.epoch, kTtl, next, page.rows[4], "c", "e");
  REQUIRE(!full);
  CHECK(full.error().sqlstate == "53400");
  CHECK(relay.outbox.stats()->dead_letters == 1);
  CHECK(relay.outbox.stats()->unpublished_rows == 6);  // the cursor has not moved either
  auto nothing_there = page.rows[4];
  nothing_there.seq = 999'999;
  CHECK(!relay.outbox.bury(lease.epoch, kTtl, next, nothing_there, "c", "e"));

  CHECK(Server::must(relay.connection->exec("select id from ratchet.dead_list()")) == "1");
  CHECK(Server::must(relay.connection->exec("select ratchet.dead_replay('{1, 77}')")) == "1");
  CHECK(relay.outbox.stats()->dead_letters == 0);
  CHECK(payloads(relay.read(past, 100)) == numbers(5, 10));
  REQUIRE(*relay.outbox.advance(lease.epoch, kTtl, page.after));
  CHECK(payloads(relay.read(page.after, 100)) == numbers(4, 4));
  REQUIRE(*relay.outbox.bury(lease.epoch, kTtl, page.after, page.rows[0], "c", "e"));
  CHECK(Server::must(
            relay.connection->exec("select ratchet.dead_discard(array(select id from ratchet.dead_list()))")) == "1");
  CHECK(relay.outbox.stats()->dead_letters == 0);
  server.ask("truncate ratchet.dead_letter");
}

namespace {

// Random batches with new, known and repeated keys, and rows without one; what should happen is easily said.
struct Compared {
  int disordered = 0, wrong_duplicates = 0;
};
Compared compare_append(Server& server, int batches, unsigned seed) {
  std::minstd_rand random(seed);
  auto connection = server.connect("app");
  auto reader = server.connect();
  if (auto error = db::prepare_append(*connection)) throw std::runtime_error(error->text);
  Compared result;
  std::vector<db::Uuid> known;
  for (int b = 0; b < batches; ++b) {
    constexpr int sizes[] = {1, 2, 64, 200};
    const int size = sizes[random() % 4];
    db::Batch batch;
    std::set<db::Uuid> taken(known.begin(), known.end());
    std::vector<std::string> stored;
    std::set<std::int64_t> duplicates;
    std::vector<db::Uuid> used;
    for (int i = 0; i < size; ++i) {
      std::optional<db::Uuid> id;
      const auto dice = random() % 10;
      if (dice >= 3 || (dice >= 1 && known.empty())) {
        id.emplace();
        for (auto& byte : *id)
          byte = static_cast<std::uint8_t>(random() >> 8);
      } else if (dice >= 1) {
        id = known[random() % known.size()];
      }
      if (i == 7 && used.size() > 2) id = used[2];
      const std::string payload = std::to_string(i);
      const std::string key = "b" + std::to_string(seed) + "-" + std::to_string(b);
      const std::string print(32, 'f');
      db::Event event{};
      event.idempotency = id;
      event.fingerprint = print;
      event.reply = payload;
      event.topic = "t";
      event.key = key;
      event.headers = "{}";
      event.payload = payload;
      batch.add(event, 0);
      if (!id || taken.insert(*id).second) {
        stored.push_back(payload);
      } else {
        duplicates.insert(i + 1);
      }
      if (id) used.push_back(*id);
    }
    auto found = connection->exec_prepared("ratchet_append", batch.parameters());
    if (!found) throw std::runtime_error(found.error().text);
    std::set<std::int64_t> said;
    for (std::size_t i = 0; i < found->size(); ++i)
      said.insert(found->integer(i, 0));
    result.wrong_duplicates += said != duplicates;
    auto rows = reader->exec("select convert_from(payload, 'UTF8') from ratchet.outbox where key = 'b" +
                             std::to_string(seed) + "-" + std::to_string(b) + "' order by seq");
    std::vector<std::string> there;
    for (std::size_t i = 0; i < rows->size(); ++i)
      there.emplace_back(rows->text(i, 0));
    result.disordered += there != stored;
    known.insert(known.end(), used.begin(), used.end());
  }
  return result;
}

}  // namespace

TEST_CASE("outbox: append stores what is new, in arrival order, and names what is not") {
  Server server;
  server.migrate();
  const auto proper = compare_append(server, 120, 1);
  CHECK(proper.disordered == 0);
  CHECK(proper.wrong_duplicates == 0);
  // That the comparison can see: the same with the order spoiled.
  const auto source = server.ask("select pg_get_functiondef('ratchet.append'::regproc)");
  auto spoiled = source;
  const std::string right = "any (won) order by u.o";
  REQUIRE(spoiled.find(right) != std::string::npos);
  spoiled.replace(spoiled.find(right), right.size(), "any (won) order by u.k");
  server.ask(spoiled);
  CHECK(compare_append(server, 20, 2).disordered > 0);
}
