#include "levels/1_database/connecting.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "levels/1_database/session_settings.hpp"
#include "levels/1_database/sqlstate.hpp"

namespace ratchet::db {
namespace {

void add_defaults(Conninfo& conninfo, const Connection::Plan& plan) {
  conninfo.set_default("connect_timeout", "2");
  conninfo.set_default("tcp_user_timeout", "3000");
  conninfo.set_default("keepalives_idle", "1");
  conninfo.set_default("keepalives_interval", "1");
  conninfo.set_default("keepalives_count", "2");
  conninfo.set_default("gssencmode", "disable");  // looking for Kerberos may ask the resolver
  if (plan.role)
    conninfo.set_default("target_session_attrs", *plan.role == PoolRole::primary ? "read-write" : "standby");
  conninfo.set("client_encoding", "UTF8");
  if (!plan.application_name.empty()) conninfo.set_default("application_name", plan.application_name);
  conninfo.set("options", session_options(plan.statement, conninfo.get("options")));
}

milliseconds connect_timeout(const Conninfo& conninfo) {
  const std::string text = conninfo.get("connect_timeout");
  int given = 0;
  std::from_chars(text.data(), text.data() + text.size(), given);
  return given <= 0 ? milliseconds(2000) : milliseconds(1000LL * given);
}

// How one attempt ended without a connection.
struct Failure {
  SqlError error;
  std::string where;
};

std::string said_for_people(const Failure& failure) {
  const FaultKind kind = fault_kind(failure.error);
  std::string text = failure.error.text;
  if (failure.error.sqlstate.empty()) {  // libpq's own words
    if (kind == FaultKind::refused) text = "connection refused";
    if (kind == FaultKind::read_only) {
      text = text.find("not in hot standby") != std::string::npos
                 ? "the server is a primary, a replica is needed"
                 : "the server is read-only (a standby, or default_transaction_read_only), a primary is needed";
    }
  }
  return text + " (" + failure.where + ")";
}

// Of several servers that failed, the one with more to say than that nobody is there.
bool says_more(const Failure& one, const Failure& other) {
  auto weight = [](const Failure& failure) {
    switch (fault_kind(failure.error)) {
      case FaultKind::refused:
        return failure.error.sqlstate.empty() ? 0 : 2;
      case FaultKind::timed_out:
        return 1;
      default:
        return 3;
    }
  };
  return weight(one) > weight(other);
}

SqlError no_answer(milliseconds waited) {
  return {SqlError::Kind::lost, {}, "no answer within " + std::to_string(waited.count()) + " ms"};
}

Result<Handle, SqlError> open_one(const std::string& conninfo, TimePoint until, Patience& patience,
                                  const TimeSource& time) {
  const TimePoint begun = time.now();
  Handle handle(PQconnectStart(conninfo.c_str()), PQfinish);
  if (!handle) return SqlError{SqlError::Kind::lost, "53200", "out of memory"};
  PQsetErrorVerbosity(handle.get(), PQERRORS_VERBOSE);  // brings the SQLSTATE, also of a refusal to let us in
  auto state = PQstatus(handle.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    pollfd file{PQsocket(handle.get()), static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    const TimePoint now = time.now();
    if (now >= until || patience.over(now)) {
      return no_answer(std::chrono::duration_cast<milliseconds>(now - begun));
    }
    const auto nap = std::chrono::ceil<milliseconds>(std::min(until, patience.nap(now)) - now);
    if (::poll(&file, 1, static_cast<int>(nap.count())) > 0) state = PQconnectPoll(handle.get());
  }
  if (state == PGRES_POLLING_OK) return handle;
  auto said = what_was_said(PQerrorMessage(handle.get()));
  return SqlError{SqlError::Kind::lost, std::move(said.sqlstate), std::move(said.text)};
}

// A pooler may have to be told to ignore `options` (PgBouncer: ignore_startup_parameters), and then the session is not
// ours. The server reports one of them, so that is seen without asking.
bool options_were_taken(PGconn* connection) {
  const char* reported = PQparameterStatus(connection, kReported.data());
  return reported == nullptr || reported == kReportedValue;
}

// In one round trip. What the DSN's own `options` say is lost with the rest; the pooler's `connect_query` may say it.
std::optional<SqlError> set_session(PGconn* connection, const std::string& sql, TimePoint until, Patience& patience,
                                    const TimeSource& time) {
  auto failed = [connection]() -> SqlError {
    auto said = what_was_said(PQerrorMessage(connection));
    return {SqlError::Kind::lost, std::move(said.sqlstate), std::move(said.text)};
  };
  const TimePoint begun = time.now();
  if (PQsendQuery(connection, sql.c_str()) == 0) return failed();
  for (;;) {
    while (PQisBusy(connection) == 0) {
      const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQgetResult(connection), PQclear);
      if (!result) return std::nullopt;
      if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) return failed();
    }
    const TimePoint now = time.now();
    if (now >= until || patience.over(now)) return no_answer(std::chrono::duration_cast<milliseconds>(now - begun));
    pollfd file{PQsocket(connection), POLLIN, 0};
    const auto nap = std::chrono::ceil<milliseconds>(std::min(until, patience.nap(now)) - now);
    if (::poll(&file, 1, static_cast<int>(nap.count())) > 0 && PQconsumeInput(connection) == 0) return failed();
  }
}

}  // namespace

Result<Opened> open_any(Conninfo conninfo, const Connection::Plan& plan, Patience& patience, const TimeSource& time) {
  add_defaults(conninfo, plan);
  Resolver* const resolver = plan.resolver;
  std::optional<Failure> worst;
  auto failed = [&](SqlError error, const Target& target) {
    Failure failure{std::move(error), target.where()};
    if (!worst || says_more(failure, *worst)) worst = std::move(failure);
  };
  std::optional<Fault> unresolved;
  for (Target target : conninfo.targets()) {
    std::vector<std::string> addresses{target.address};
    if (resolver != nullptr && target.address.empty() && !target.by_socket() && !is_numeric_address(target.host)) {
      auto answer = resolver->resolve(target.host, patience, time);
      if (!answer) {
        unresolved = answer.error();
        continue;
      }
      addresses = *std::move(answer);
    }
    for (const auto& address : addresses) {
      target.address = address;
      const TimePoint until = time.now() + connect_timeout(conninfo);
      auto handle = open_one(conninfo.with(target).text(), until, patience, time);
      if (!handle) {
        failed(std::move(handle).error(), target);
        continue;
      }
      const bool taken = options_were_taken(handle->get());
      const std::string sql =
          (taken ? std::string() : session_sql(plan.statement)) + later_settings(PQserverVersion(handle->get()));
      if (!sql.empty()) {
        if (auto error = set_session(handle->get(), sql, until, patience, time)) {
          failed(*std::move(error), target);
          continue;
        }
      }
      return Opened{*std::move(handle), target.where(), taken};
    }
  }
  if (worst) return Fault{1, 0, fault_kind(worst->error), said_for_people(*worst), time.now()};
  return *unresolved;
}

}  // namespace ratchet::db
