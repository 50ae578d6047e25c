#include "levels/1_database/connection.hpp"

#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <map>
#include <pqxx/pqxx>
#include <utility>

#include "levels/1_database/connecting.hpp"
#include "levels/1_database/conninfo.hpp"
#include "levels/1_database/server_words.hpp"
#include "levels/1_database/session_settings.hpp"
#include "levels/1_database/sqlstate.hpp"

namespace ratchet::db {
namespace {

// The two libraries, as far as they differ. Both are handed a connection that libpq has made: libpqxx's own connect
// blocks, and keeps the server's reason for a loss to itself.
#if PQXX_VERSION_MAJOR < 7

class Adopted final : public pqxx::connection_base {
 public:
  explicit Adopted(Handle handle) : pqxx::connection_base(policy_), policy_(std::move(handle)) {
    init();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    inhibit_reactivation(true);  // else it reconnects silently, with the session's settings lost
#pragma GCC diagnostic pop
  }
  ~Adopted() noexcept { close(); }
  Adopted(const Adopted&) = delete;
  Adopted& operator=(const Adopted&) = delete;

  // This version prepares at first use; we want the error now.
  void prepare_at_once(const std::string& name, const std::string& sql) {
    prepare(name, sql);
    try {
      prepare_now(name);
    } catch (...) {
      if (is_open()) unprepare(name);
      throw;
    }
  }

 private:
  class Policy final : public pqxx::connectionpolicy {
   public:
    explicit Policy(Handle made) : pqxx::connectionpolicy(std::string()), made_(std::move(made)) {}
    handle do_completeconnect(handle held) override { return held != nullptr ? held : made_.release(); }
    bool is_ready(handle) const noexcept override { return true; }

   private:
    Handle made_;
  };
  Policy policy_;
};

pqxx::result run_prepared(pqxx::nontransaction& work, const std::string& name, std::span<const Parameter> parameters) {
  pqxx::internal::params packed;
  for (const auto& one : parameters) {
    packed.lengths.push_back(one.null ? 0 : static_cast<int>(one.value.size()));
    packed.nonnulls.push_back(one.null ? 0 : 1);
    packed.binaries.push_back(!one.null && one.binary ? 1 : 0);
    if (one.null) continue;
    if (one.binary) {
      packed.bin_strings.emplace_back(one.value.empty() ? "" : one.value.data(), one.value.size());
    } else {
      packed.strings.emplace_back(one.value);
    }
  }
  return work.exec_prepared(name, std::move(packed));
}

#else

class Adopted final {
 public:
  explicit Adopted(Handle handle) : inside_(pqxx::connection::seize_raw_connection(handle.release())) {}
  operator pqxx::connection&() noexcept { return inside_; }  // NOLINT(google-explicit-constructor)
  void prepare_at_once(const std::string& name, const std::string& sql) { inside_.prepare(name, sql); }

 private:
  pqxx::connection inside_;
};

pqxx::result run_prepared(pqxx::nontransaction& work, const std::string& name, std::span<const Parameter> parameters) {
  pqxx::params packed;
  packed.reserve(parameters.size());
  for (const auto& one : parameters) {
    if (one.null) {
      packed.append();
    } else if (one.binary) {
      const char* bytes = one.value.empty() ? "" : one.value.data();  // a null pointer would mean NULL
      packed.append(pqxx::bytes_view(reinterpret_cast<const std::byte*>(bytes), one.value.size()));
    } else {
      packed.append(std::string(one.value));
    }
  }
  return work.exec(pqxx::prepped{name}, std::move(packed));
}

#endif

constexpr auto kNever = TimePoint::max();
constexpr auto kCutMark = TimePoint::min();
constexpr auto kGrace = std::chrono::milliseconds(250);  // the server's own statement_timeout should come first

}  // namespace

// ---- rows --------------------------------------------------------------------------------------------------------

struct Rows::Inside {
  pqxx::result result;
  std::vector<std::string_view> cells;  // into the result; null: no data
  std::size_t columns = 0;
};

Rows::Rows() = default;
Rows::~Rows() = default;
Rows::Rows(Rows&&) noexcept = default;
Rows& Rows::operator=(Rows&&) noexcept = default;

std::size_t Rows::size() const noexcept { return inside_ ? static_cast<std::size_t>(inside_->result.size()) : 0; }

std::string_view Rows::text(std::size_t row, int column) const noexcept {
  assert(inside_ && column >= 0 && static_cast<std::size_t>(column) < inside_->columns && row < size());
  return inside_->cells[row * inside_->columns + static_cast<std::size_t>(column)];
}

bool Rows::is_null(std::size_t row, int column) const noexcept { return text(row, column).data() == nullptr; }

std::int64_t Rows::integer(std::size_t row, int column) const {
  const auto value = text(row, column);
  std::int64_t number = 0;
  [[maybe_unused]] const auto end = std::from_chars(value.data(), value.data() + value.size(), number);
  assert(end.ec == std::errc() && end.ptr == value.data() + value.size());
  return number;
}

bool Rows::boolean(std::size_t row, int column) const noexcept { return text(row, column) == "t"; }

std::string Rows::bytes(std::size_t row, int column) const {
  std::string out;
  bytes_into(row, column, out);
  return out;
}

namespace {

constexpr auto kHexValue = [] {
  std::array<std::uint8_t, 256> table{};
  for (unsigned i = 0; i < 10; ++i)
    table['0' + i] = static_cast<std::uint8_t>(i);
  for (unsigned i = 0; i < 6; ++i)
    table['a' + i] = table['A' + i] = static_cast<std::uint8_t>(10 + i);
  return table;
}();

}  // namespace

void Rows::bytes_into(std::size_t row, int column, std::string& out) const {
  const auto value = text(row, column);
  assert(value.empty() || value.starts_with("\\x"));  // bytea_output is ours
  const std::size_t count = value.size() < 2 ? 0 : (value.size() - 2) / 2;
  out.resize(count);
  const char* digit = value.data() + 2;
  for (std::size_t i = 0; i < count; ++i, digit += 2) {
    const unsigned high = kHexValue[static_cast<unsigned char>(digit[0])];
    const unsigned low = kHexValue[static_cast<unsigned char>(digit[1])];
    out[i] = static_cast<char>(high << 4 | low);
  }
}

// ---- connection --------------------------------------------------------------------------------------------------

struct Connection::Inside {
  Inside(Handle handle, std::string place, Duration patience, const TimeSource& source)
      : raw(handle.get()),
        connection(std::move(handle)),
        where(std::move(place)),
        usual_patience(patience),
        time(source) {
    words.listen_to(raw);
    pid = PQbackendPID(raw);
    fd = ::fcntl(PQsocket(raw), F_DUPFD_CLOEXEC, 0);
  }
  ~Inside() {
    if (fd >= 0) ::close(fd);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  // Why the connection is gone: in the server's own words where it had any. An ERROR before the end is not why.
  SqlError lose(Said fallback, bool in_call = false) {
    broken.store(true, std::memory_order_release);
    if (loss) return *loss;
    Said told = what_was_said(PQerrorMessage(raw));
    if (told.text.empty()) told = std::move(fallback);
    if (!told.sqlstate.empty()) told = {};
    if (const auto& word = words.farewell()) told = {word->sqlstate, word->text};
    if (cut.load(std::memory_order_acquire)) {
      told = {{}, overdue ? "no answer within the call's time, connection cut" : "connection cut by its pool"};
    }
    if (told.text.empty()) told.text = "connection lost";
    left_call.store(in_call && !words.farewell(), std::memory_order_release);
    loss = SqlError{SqlError::Kind::lost, std::move(told.sqlstate), std::move(told.text), {}};
    return *loss;
  }

  // What the server calls done is on no standby, though one has to have it: as far as anybody may be told, its fate is
  // as unknown as that of a commit whose answer was lost, and it is treated like that.
  SqlError unsafe() {
    broken.store(true, std::memory_order_release);
    const std::string text =
        "the wait for a synchronous standby was cancelled: committed, but perhaps replicated nowhere";
    loss = SqlError{SqlError::Kind::lost, {}, text, {}};
    return *loss;
  }

  // Whether the connection is lost is what libpq knows of it, not what an SQLSTATE says: anybody's trigger may raise
  // one. `doubtful`: libpqxx believes that it is gone.
  SqlError failed(const char* what, bool doubtful) {
    const auto& word = words.error();
    const bool over = PQstatus(raw) != CONNECTION_OK || words.farewell() || cut.load(std::memory_order_acquire);
    if (over || (doubtful && !word)) return lose(what_was_said(what), true);
    if (word) return {SqlError::Kind::said, word->sqlstate, word->text, word->context};
    Said said = what_was_said(what);  // libpq's or libpqxx's own
    return {SqlError::Kind::said, std::move(said.sqlstate), std::move(said.text), {}};
  }

  static Rows rows(const pqxx::result& result);

  // Where every exception of the vendor ends.
  template <class Call>
  auto guarded(Call call) -> Result<decltype(call()), SqlError> {
    if (broken.load(std::memory_order_acquire)) return lose({});
    const TimePoint until = allowed.load();
    due.store(until != kNever ? until : time.now() + usual_patience);
    allowed.store(kNever);
    words.forget();
    auto answer = [&]() -> Result<decltype(call()), SqlError> {
      try {
        return call();
      } catch (const pqxx::in_doubt_error& error) {
        return failed(error.what(), true);
      } catch (const pqxx::broken_connection& error) {  // any SQLSTATE of class 08, too
        return failed(error.what(), true);
      } catch (const std::exception& error) {
        return failed(error.what(), false);
      }
    }();
    if (due.exchange(kNever) == kCutMark) {  // answered in the moment it was cut
      broken.store(true, std::memory_order_release);
    }
    if (answer && words.unreplicated()) return unsafe();
    return answer;
  }

  ServerWords words;  // `connection` ends before it
  PGconn* raw;        // owned by `connection`
  Adopted connection;
  std::string where;
  Duration usual_patience;
  milliseconds statement{};
  bool options_taken = true;
  const TimeSource& time;
  int fd = -1;  // a duplicate: libpq closes its own when it likes, and the number may be somebody else's by then
  std::atomic<int> pid{0};
  std::map<std::string, std::string> prepared;
  std::optional<SqlError> loss;
  std::atomic<TimePoint> allowed{kNever};  // for the next call
  std::atomic<TimePoint> due{kNever};      // of the call under way
  std::atomic<bool> broken{false}, cut{false}, overdue{false}, left_call{false};
};

Connection::Connection(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::connect(const Plan& plan, Patience& patience, const TimeSource& time) {
  auto conninfo = Conninfo::parse(plan.conninfo);
  if (!conninfo) return Fault{1, 0, FaultKind::unknown, "bad DSN: " + conninfo.error(), time.now()};
  auto opened = open_any(*std::move(conninfo), plan, patience, time);
  if (!opened) return opened.error();
  try {
    auto inside = std::make_unique<Inside>(std::move(opened->handle), opened->where, plan.statement + kGrace, time);
    inside->statement = plan.statement;
    inside->options_taken = opened->options_taken;
    if (inside->fd < 0) return Fault{1, 0, FaultKind::out_of_files, "no file left for a connection", time.now()};
    return std::unique_ptr<Connection>(new Connection(std::move(inside)));
  } catch (const std::exception& error) {
    return Fault{1, 0, FaultKind::unknown, what_was_said(error.what()).text + " (" + opened->where + ")", time.now()};
  }
}

Rows Connection::Inside::rows(const pqxx::result& result) {
  Rows rows;
  rows.inside_ = std::make_unique<Rows::Inside>();
  auto& inside = *rows.inside_;
  inside.columns = static_cast<std::size_t>(result.columns());
  inside.cells.reserve(static_cast<std::size_t>(result.size()) * inside.columns);
  for (const auto& row : result) {
    for (const auto& field : row) {
      inside.cells.emplace_back(field.is_null() ? nullptr : field.c_str(), field.is_null() ? 0 : field.size());
    }
  }
  inside.result = result;
  return rows;
}

Result<Rows, SqlError> Connection::exec(std::string_view sql) {
  return inside_->guarded([&] {
    pqxx::nontransaction work(inside_->connection);
    return Inside::rows(work.exec(std::string(sql)));
  });
}

// Where the session was set by SQL, `reset` would lead to the role's defaults.
Result<Rows, SqlError> Connection::restore(const std::string& name) {
  if (inside_->options_taken) return exec("reset " + name);
  return exec("set " + name + " = " + session_value(name, inside_->statement));
}

Result<Nothing, SqlError> Connection::prepare(const std::string& name, const std::string& sql) {
  const auto known = inside_->prepared.find(name);
  if (known != inside_->prepared.end() && known->second == sql && !broken()) return Nothing{};
  return inside_->guarded([&] {
    inside_->connection.prepare_at_once(name, sql);
    inside_->prepared[name] = sql;
    return Nothing{};
  });
}

Result<Rows, SqlError> Connection::exec_prepared(const std::string& name, std::span<const Parameter> parameters) {
  return inside_->guarded([&] {
    pqxx::nontransaction work(inside_->connection);
    return Inside::rows(run_prepared(work, name, parameters));
  });
}

int Connection::socket() const noexcept { return inside_->fd; }

bool Connection::broken() const noexcept { return inside_->broken.load(std::memory_order_acquire); }

bool Connection::look() noexcept {
  if (broken()) return false;
  const bool read = PQconsumeInput(inside_->raw) != 0;
  while (PGnotify* note = PQnotifies(inside_->raw))
    PQfreemem(note);  // also makes it parse, and tell us notices
  if (!read || PQstatus(inside_->raw) != CONNECTION_OK || inside_->words.farewell()) inside_->lose({});
  return !broken();
}

bool Connection::in_transaction() const noexcept { return PQtransactionStatus(inside_->raw) != PQTRANS_IDLE; }

std::string Connection::loss() const { return inside_->loss ? inside_->loss->text : std::string(); }

int Connection::backend() const noexcept { return inside_->pid; }

void Connection::set_backend(int pid) noexcept { inside_->pid = pid; }

const std::string& Connection::where() const noexcept { return inside_->where; }

void Connection::allow_until(TimePoint deadline) noexcept { inside_->allowed.store(deadline); }

std::optional<TimePoint> Connection::due(TimePoint now) const noexcept {
  const TimePoint due = inside_->due.load();
  if (due != kNever && due != kCutMark) return due;
  const TimePoint next = inside_->allowed.load();
  return next != kNever && next > now ? std::optional(next) : std::nullopt;
}

bool Connection::cut_if_overdue(TimePoint now) noexcept {
  TimePoint due = inside_->due.load();
  if (due > now || due == kCutMark) return false;
  inside_->overdue.store(true, std::memory_order_release);
  if (!inside_->due.compare_exchange_strong(due, kCutMark)) {
    inside_->overdue.store(false, std::memory_order_release);
    return false;  // the answer came in this moment
  }
  cut();
  return true;
}

void Connection::cut() noexcept {
  inside_->cut.store(true, std::memory_order_release);
  ::shutdown(inside_->fd, SHUT_RDWR);
}

bool Connection::was_cut() const noexcept { return inside_->cut.load(std::memory_order_acquire); }

bool Connection::was_overdue() const noexcept { return inside_->overdue.load(std::memory_order_acquire); }

bool Connection::in_call() const noexcept { return inside_->due.load() != kNever; }

bool Connection::left_call() const noexcept { return inside_->left_call.load(std::memory_order_acquire); }

}  // namespace ratchet::db
