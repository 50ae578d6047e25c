#include "levels/1_database/batch.hpp"

#include <rapidcheck.h>

#include <stdexcept>

#include "tests/support/catch.hpp"

using namespace ratchet::db;

namespace {

struct Made {
  std::optional<Uuid> id;
  std::string fingerprint = std::string(32, 'f'), reply, topic, headers, payload;
  std::optional<std::string> key;
  Event event() const {
    Event e{};
    e.idempotency = id;
    e.fingerprint = fingerprint;
    e.reply = reply;
    e.topic = topic;
    if (key) e.key = *key;
    e.headers = headers;
    e.payload = payload;
    return e;
  }
};

Made any() {
  Made made;
  if (*rc::gen::arbitrary<bool>()) made.id = *rc::gen::arbitrary<Uuid>();
  if (*rc::gen::arbitrary<bool>()) made.key = *rc::gen::arbitrary<std::string>();
  made.reply = *rc::gen::arbitrary<std::string>();
  made.topic = *rc::gen::arbitrary<std::string>();
  made.headers = *rc::gen::arbitrary<std::string>();
  made.payload = *rc::gen::arbitrary<std::string>();
  return made;
}

// What would be sent: the values of all seven columns.
std::vector<std::string> sent(Batch& batch) {
  std::vector<std::string> all;
  for (const auto& parameter : batch.parameters())
    all.emplace_back(parameter.null ? "null" : std::string(parameter.value));
  return all;
}

Batch of(const std::vector<Made>& rows) {
  Batch batch;
  for (std::size_t i = 0; i < rows.size(); ++i)
    batch.add(rows[i].event(), i);
  return batch;
}

}  // namespace

TEST_CASE("batch: an array is what PostgreSQL's own binary format says") {
  ArrayColumn column(ArrayColumn::Type::text);
  column.add("ab");
  column.add_null();
  const std::string expected(
      "\0\0\0\1"
      "\0\0\0\0"
      "\0\0\0\x19"
      "\0\0\0\2"
      "\0\0\0\1"
      "\0\0\0\2"
      "ab"
      "\xff\xff\xff\xff",
      30);
  CHECK(std::string(column.value(2)) == expected);
  ArrayColumn json(ArrayColumn::Type::jsonb);
  json.add("{}");
  CHECK(std::string(json.value(1).substr(20)) == std::string("\0\0\0\3\1{}", 7));
}

TEST_CASE("batch: without withdrawn rows it is what it would have been without ever adding them") {
  CHECK(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(1, 20);
    Batch batch, scratch;
    std::vector<Made> kept, all;
    std::vector<std::uint64_t> tokens;
    std::vector<bool> gone;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < size; ++i) {
      all.push_back(any());
      bytes += Batch::bytes_of(all.back().event());
      batch.add(all.back().event(), 100 + i);
      gone.push_back(*rc::gen::arbitrary<bool>());
    }
    for (std::size_t i = 0; i < size; ++i) {
      RC_ASSERT(!batch.withdraw(i, 99));
      if (gone[i]) {
        RC_ASSERT(batch.withdraw(i, 100 + i));
        RC_ASSERT(!batch.withdraw(i, 100 + i));
      } else {
        kept.push_back(all[i]);
        tokens.push_back(100 + i);
      }
    }
    RC_ASSERT(batch.withdrawn() == size - kept.size());
    batch.drop_withdrawn(scratch);
    RC_ASSERT(batch.tokens() == tokens);
    RC_ASSERT(batch.withdrawn() == 0u);
    Batch expected = of(kept);
    RC_ASSERT(sent(batch) == sent(expected));
    RC_ASSERT(batch.bytes() == expected.bytes());
    std::size_t kept_bytes = 0;
    for (const auto& one : kept)
      kept_bytes += Batch::bytes_of(one.event());
    RC_ASSERT(batch.bytes() <= kept_bytes);
    RC_ASSERT(kept_bytes <= bytes);
  }));
}

TEST_CASE("batch: walked row by row, each row is a batch of its own") {
  CHECK(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(1, 10);
    std::vector<Made> rows;
    for (std::size_t i = 0; i < size; ++i)
      rows.push_back(any());
    const Batch batch = of(rows);
    Batch::Walk walk(batch);
    auto reply_at = ArrayColumn::begin();
    for (const auto& row : rows) {
      Batch one, expected;
      walk.copy_next(one);
      expected.add(row.event(), one.tokens().front());
      RC_ASSERT(sent(one) == sent(expected));
      RC_ASSERT(one.has_keys() == row.id.has_value());
      RC_ASSERT(std::string(batch.replies().element(reply_at)) == row.reply);
    }
  }));
}

TEST_CASE("batch: an event that cannot be taken whole leaves no trace") {
  Made good;
  good.topic = "t";
  good.headers = "{}";
  good.id = Uuid{};
  Batch expected = of({good, good});
  Batch batch = of({good});
  Event too_large = good.event();
  too_large.payload = std::string_view(good.topic.data(), std::string().max_size());  // more than there can be memory
  CHECK_THROWS_AS(batch.add(too_large, 7), std::length_error);
  CHECK(batch.rows() == 1);
  batch.add(good.event(), 1);
  CHECK(sent(batch) == sent(expected));
  CHECK(batch.tokens() == expected.tokens());
}
