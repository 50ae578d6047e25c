#include "levels/1_database/server_words.hpp"

#include <libpq-events.h>
#include <libpq-fe.h>

#include <string_view>

namespace ratchet::db {
namespace {

constexpr std::size_t kLongestContext = 200;

std::string_view field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

// Empty: it was not the server that spoke.
std::optional<ServerWord> word_of(const PGresult* result) {
  ServerWord word;
  word.sqlstate = field(result, PG_DIAG_SQLSTATE);
  if (word.sqlstate.empty()) return std::nullopt;
  auto severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity.empty()) severity = field(result, PG_DIAG_SEVERITY);  // a pooler's own words
  word.fatal = severity == "FATAL" || severity == "PANIC";
  word.text = (word.fatal ? "FATAL: " : "") + std::string(first_line(field(result, PG_DIAG_MESSAGE_PRIMARY)));
  word.context = first_line(field(result, PG_DIAG_CONTEXT)).substr(0, kLongestContext);
  return word;
}

// A backend told to quit at once only warns, whoever asked it, and is gone.
bool is_farewell(const ServerWord& word, const PGresult* notice) {
  return word.fatal || (word.sqlstate.starts_with("57P") && field(notice, PG_DIAG_SOURCE_FUNCTION) == "quickdie");
}

}  // namespace

void ServerWords::listen_to(pg_conn* connection) {
  // Results may outlive this: only their creation looks at it.
  const auto happened = [](PGEventId event, void* what, void* self) {
    if (event == PGEVT_RESULTCREATE) {
      static_cast<ServerWords*>(self)->answered(static_cast<PGEventResultCreate*>(what)->result);
    }
    return 1;
  };
  PQregisterEventProc(connection, happened, "ratchet", this);
  PQsetNoticeReceiver(connection, noticed, this);
}

void ServerWords::answered(const pg_result* result) {
  if (PQresultStatus(result) != PGRES_FATAL_ERROR) return;  // libpq's name for any error
  auto word = word_of(result);
  if (!word) return;
  if (word->fatal) farewell_ = word;
  error_ = std::move(word);
}

void ServerWords::noticed(void* self, const pg_result* notice) {
  auto& words = *static_cast<ServerWords*>(self);
  if (field(notice, PG_DIAG_SOURCE_FUNCTION) == "SyncRepWaitForLSN") words.unreplicated_ = true;
  auto word = word_of(notice);
  if (word && is_farewell(*word, notice)) words.farewell_ = std::move(word);
}

}  // namespace ratchet::db
