#include "levels/1_database/outbox.hpp"

#include <array>
#include <cassert>
#include <charconv>
#include <utility>

namespace ratchet::db {
namespace {

struct Statement {
  const char* name;
  const char* sql;
  bool keeps_books = false;
};

// What the relay writes is bookkeeping: it need not be on a standby before the relay goes on. Lost in a failover it is
// as if the old primary had died a moment earlier, as the rows beside it travel in the same WAL: events are published
// again, and none is forgotten. So these commits never wait for a standby. For this one transaction, whose commit comes
// after its columns are made: the connection goes home as it was.
std::string text_of(const Statement& statement) {
  if (!statement.keeps_books) return statement.sql;
  return "select s.*, pg_catalog.set_config('synchronous_commit', 'local', true) from (" + std::string(statement.sql) +
         ") s";
}

constexpr Statement kAcquire{"relay_acquire",
                             "select epoch, snap_from, snap_to, last_seq, hi_seq, republished "
                             "from ratchet.relay_acquire($1, $2::interval)",
                             true};
constexpr Statement kBeat{"relay_beat", "select ratchet.relay_beat($1::bigint, $2::interval)", true};
constexpr Statement kAdvance{"relay_advance",
                             "select ratchet.relay_advance($1::bigint, $2::interval, $3::pg_snapshot, $4::pg_snapshot, "
                             "$5::bigint, $6::bigint)",
                             true};
constexpr Statement kRelease{"relay_release", "select ratchet.relay_release($1::bigint)", true};
constexpr Statement kRead{"relay_read",
                          "select seq, topic, key, headers, payload, snap_to, hi_seq, more "
                          "from ratchet.relay_read($1::pg_snapshot, $2::pg_snapshot, $3::bigint, $4::bigint, $5::int)"};
constexpr Statement kReclaim{"outbox_reclaim", "select ratchet.outbox_reclaim($1::bigint)", true};
constexpr Statement kRotate{"idem_rotate", "select ratchet.idem_rotate()", true};
// Not prepared: the outbox is measured also where nothing else of it works.
constexpr const char* kStats =
    "set local lock_timeout = '1s'; "
    "select unpublished_rows, oldest_seconds, extract(epoch from clock_timestamp()) - oldest_seconds, bytes, "
    "dead_letters from ratchet.outbox_stats()";
constexpr Statement kBury{"relay_bury",
                          "select ratchet.relay_bury($1::bigint, $2::interval, $3::pg_snapshot, $4::pg_snapshot, "
                          "$5::bigint, $6::bigint, $7::bigint, $8, $9)",
                          true};
constexpr std::array kAll = {kAcquire, kBeat, kAdvance, kRelease, kRead, kReclaim, kRotate, kBury};

std::string interval(Duration ttl) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(ttl).count()) + " ms";
}

// Text parameters of one call; they own their text.
template <std::size_t N>
class Values {
 public:
  template <class... T>
  explicit Values(const T&... values) {
    static_assert(sizeof...(T) == N);
    std::size_t i = 0;
    (put(i++, values), ...);
  }
  std::span<const Parameter> list() const noexcept { return parameters_; }

 private:
  void put(std::size_t i, const std::string& value) { parameters_[i] = {texts_[i] = value, false, false}; }
  void put(std::size_t i, std::int64_t value) { put(i, std::to_string(value)); }
  template <class T>
  void put(std::size_t i, const std::optional<T>& value) {
    if (value) {
      put(i, *value);
    } else {
      parameters_[i] = {{}, true, false};
    }
  }
  std::array<std::string, N> texts_;
  std::array<Parameter, N> parameters_;
};
template <class... T>
Values(const T&...) -> Values<sizeof...(T)>;

std::optional<std::string> text_or_null(const Rows& rows, std::size_t row, int column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return std::string(rows.text(row, column));
}
std::optional<std::string> bytes_or_null(const Rows& rows, std::size_t row, int column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return rows.bytes(row, column);
}
std::optional<std::int64_t> integer_or_null(const Rows& rows, std::size_t row, int column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return rows.integer(row, column);
}

Result<bool, SqlError> yes_or_no(Result<Rows, SqlError> rows) {
  if (!rows) return std::move(rows).error();
  assert(rows->size() == 1);
  return rows->boolean(0, 0);
}

Result<std::string, SqlError> word(Result<Rows, SqlError> rows) {
  if (!rows) return std::move(rows).error();
  assert(rows->size() == 1);
  return std::string(rows->text(0, 0));
}

double number(std::string_view text) {
  double value = 0;
  [[maybe_unused]] const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  assert(end.ec == std::errc());
  return value;
}

}  // namespace

Outbox::Outbox(Connection& connection) : connection_(connection) {}

Result<Nothing, SqlError> Outbox::prepare() {
  for (const auto& statement : kAll) {
    auto done = connection_.prepare(statement.name, text_of(statement));
    if (!done && done.error().sqlstate != "42P05") return done;  // 42P05: prepared already
  }
  return Nothing{};
}

Result<std::optional<RelayLease>, SqlError> Outbox::acquire(const std::string& owner, Duration ttl) {
  auto rows = connection_.exec_prepared(kAcquire.name, Values(owner, interval(ttl)).list());
  if (!rows) return std::move(rows).error();
  if (rows->size() == 0) return std::optional<RelayLease>();
  RelayLease lease;
  lease.epoch = rows->integer(0, 0);
  lease.cursor.snap_from = rows->text(0, 1);
  lease.cursor.snap_to = text_or_null(*rows, 0, 2);
  lease.cursor.last_seq = rows->integer(0, 3);
  lease.cursor.hi_seq = integer_or_null(*rows, 0, 4);
  lease.republished = integer_or_null(*rows, 0, 5).value_or(0);
  return std::optional<RelayLease>(std::move(lease));
}

Result<bool, SqlError> Outbox::beat(std::int64_t epoch, Duration ttl) {
  return yes_or_no(connection_.exec_prepared(kBeat.name, Values(epoch, interval(ttl)).list()));
}

Result<bool, SqlError> Outbox::advance(std::int64_t epoch, Duration ttl, const Cursor& cursor) {
  return yes_or_no(connection_.exec_prepared(
      kAdvance.name,
      Values(epoch, interval(ttl), cursor.snap_from, cursor.snap_to, cursor.last_seq, cursor.hi_seq).list()));
}

Result<bool, SqlError> Outbox::release(std::int64_t epoch) {
  return yes_or_no(connection_.exec_prepared(kRelease.name, Values(epoch).list()));
}

// The last row is a trailer: the window's upper snapshot and where in it the page ended.
Result<Page, SqlError> Outbox::read(const Cursor& cursor, int most) {
  auto found = connection_.exec_prepared(
      kRead.name,
      Values(cursor.snap_from, cursor.snap_to, cursor.last_seq, cursor.hi_seq, static_cast<std::int64_t>(most)).list());
  if (!found) return std::move(found).error();
  Page page;
  page.after = cursor;
  if (found->size() == 0) return page;
  const std::size_t trailer = found->size() - 1;
  assert(found->is_null(trailer, 0));
  page.rows.reserve(trailer);
  for (std::size_t i = 0; i < trailer; ++i) {
    page.rows.push_back({found->integer(i, 0), std::string(found->text(i, 1)), bytes_or_null(*found, i, 2),
                         std::string(found->text(i, 3)), bytes_or_null(*found, i, 4)});
  }
  const std::string upper(found->text(trailer, 5));
  if (found->boolean(trailer, 7)) {
    page.after = {cursor.snap_from, upper, page.rows.back().seq, integer_or_null(*found, trailer, 6)};
  } else {
    page.after = {upper, std::nullopt, -1, std::nullopt};
  }
  return page;
}

Cursor cursor_after(const Cursor& before, const Page& page, std::size_t done) {
  assert(done <= page.rows.size());
  if (done == page.rows.size()) return page.after;
  if (done == 0) return before;
  return {before.snap_from, page.after.snap_to ? page.after.snap_to : page.after.snap_from, page.rows[done - 1].seq,
          page.after.hi_seq ? page.after.hi_seq : page.rows.back().seq};
}

Result<std::string, SqlError> Outbox::reclaim(std::int64_t epoch) {
  return word(connection_.exec_prepared(kReclaim.name, Values(epoch).list()));
}

Result<std::string, SqlError> Outbox::rotate_idempotency() { return word(connection_.exec_prepared(kRotate.name, {})); }

Result<OutboxStats, SqlError> Outbox::stats() {
  auto rows = connection_.exec(kStats);
  if (!rows) return std::move(rows).error();
  assert(rows->size() == 1);
  return OutboxStats{rows->integer(0, 0), number(rows->text(0, 1)), number(rows->text(0, 2)), rows->integer(0, 3),
                     rows->integer(0, 4)};
}

Result<bool, SqlError> Outbox::bury(std::int64_t epoch, Duration ttl, const Cursor& cursor, const OutboxRow& row,
                                    const std::string& code, const std::string& error) {
  return yes_or_no(connection_.exec_prepared(kBury.name, Values(epoch, interval(ttl), cursor.snap_from, cursor.snap_to,
                                                                cursor.last_seq, cursor.hi_seq, row.seq, code, error)
                                                             .list()));
}

}  // namespace ratchet::db
