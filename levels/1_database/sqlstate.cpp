#include "levels/1_database/sqlstate.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {
namespace {

bool is_sqlstate(std::string_view code) noexcept {
  return code.size() == 5 &&
         std::all_of(code.begin(), code.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

// PgBouncer's own words at max_client_conn, said as a protocol violation.
constexpr std::string_view kPoolerIsFull = "no more connections allowed";

struct ByState {
  std::string_view prefix;
  FaultKind kind;
  bool ends;  // only where the session ends with it: in an ERROR it is a trigger's or a foreign server's word
};
// The first match counts.
constexpr std::array kByState{
    ByState{"08", FaultKind::connection_lost, true},
    ByState{"25006", FaultKind::read_only, false},
    ByState{"26000", FaultKind::pooler, false},
    ByState{"28", FaultKind::authentication, true},
    ByState{"3D000", FaultKind::authentication, true},
    ByState{"40003", FaultKind::connection_lost, true},
    ByState{"42501", FaultKind::authorisation, false},
    ByState{"53100", FaultKind::disk_full, false},
    ByState{"53300", FaultKind::too_many_connections, true},
    ByState{"55P03", FaultKind::timed_out, false},
    ByState{"57014", FaultKind::timed_out, false},
    ByState{"57P03", FaultKind::refused, true},
    ByState{"57P", FaultKind::connection_lost, true},
};

// PostgreSQL's own classes, appendix A of its manual (14 to 17).
constexpr std::array<std::string_view, 43> kClasses{"00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P",
                                                    "0Z", "20", "21", "22", "23", "24", "25", "26", "27", "28", "2B",
                                                    "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44",
                                                    "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX"};

struct ByText {
  std::string_view part;
  FaultKind kind;
};
// libpq's own words, where no server has spoken. The first match counts.
constexpr std::array kByText{
    ByText{"no answer", FaultKind::timed_out},
    ByText{"could not translate host name", FaultKind::name_resolution},
    ByText{"certificate", FaultKind::tls},
    ByText{"SSL", FaultKind::tls},
    ByText{"TLS", FaultKind::tls},
    ByText{"session is read-only", FaultKind::read_only},
    ByText{"hot standby mode", FaultKind::read_only},
    ByText{"no password supplied", FaultKind::authentication},
    ByText{"SCRAM", FaultKind::authentication},
    ByText{"authentication", FaultKind::authentication},
    ByText{"onnection refused", FaultKind::refused},
    ByText{"No such file or directory", FaultKind::refused},
    ByText{"Permission denied", FaultKind::authorisation},
    ByText{"imed out", FaultKind::timed_out},
    ByText{"timeout expired", FaultKind::timed_out},
    ByText{"No route to host", FaultKind::timed_out},
    ByText{"is unreachable", FaultKind::timed_out},
    ByText{"Too many open files", FaultKind::out_of_files},
    ByText{"closed the connection", FaultKind::connection_lost},
    ByText{"reset by peer", FaultKind::connection_lost},
    ByText{"Broken pipe", FaultKind::connection_lost},
};

}  // namespace

Said what_was_said(std::string_view text) {
  for (auto at = text.find(":  "); at != std::string_view::npos; at = text.find(":  ", at + 1)) {
    const auto code = text.substr(at + 3, 5);
    if (!is_sqlstate(code) || text.substr(at + 8, 2) != ": ") continue;
    const auto rest = text.substr(at + 10);
    const auto before = text.substr(0, at);
    const bool fatal = before.ends_with("FATAL") || before.ends_with("PANIC");
    return {std::string(code), (fatal ? "FATAL: " : "") + std::string(rest.substr(0, rest.find('\n')))};
  }
  constexpr std::string_view kPreamble = " failed: ";
  if (const auto at = text.find(kPreamble); text.starts_with("connection to server") && at != std::string_view::npos) {
    text.remove_prefix(at + kPreamble.size());
  }
  text.remove_prefix(std::min(text.find_first_not_of("\n\t "), text.size()));
  return {{}, std::string(text.substr(0, text.find('\n')))};
}

FaultKind fault_kind(const SqlError& error) noexcept {
  const bool lost = error.kind == SqlError::Kind::lost;
  if (lost && contains(error.text, kPoolerIsFull)) return FaultKind::too_many_connections;
  if (lost || is_ours(error)) {
    for (const auto& row : kByState) {
      if (std::string_view(error.sqlstate).starts_with(row.prefix) && (lost || !row.ends)) return row.kind;
    }
  }
  if (error.sqlstate.empty()) {
    for (const auto& row : kByText) {
      if (contains(error.text, row.part)) return row.kind;
    }
  }
  return lost ? FaultKind::connection_lost : FaultKind::unknown;
}

std::string_view kind_word(const SqlError& error) noexcept {
  const FaultKind kind = fault_kind(error);
  const std::string_view state = error.sqlstate;
  const bool in_class = std::any_of(kClasses.begin(), kClasses.end(), [&](auto c) { return state.starts_with(c); });
  if (!state.empty() && !in_class) return to_string(FaultKind::unknown);
  return kind == FaultKind::unknown && !state.empty() ? "statement" : to_string(kind);
}

// Our functions name what they touch by the schema, and so does the server's context: in any language.
bool is_ours(const SqlError& error) noexcept {
  if (error.context.empty()) return true;
  constexpr std::string_view kSchema = "ratchet.";
  const std::string_view where = error.context;
  for (auto at = where.find(kSchema); at != std::string_view::npos; at = where.find(kSchema, at + 1)) {
    const char before = at == 0 ? ' ' : where[at - 1];
    const bool in_a_name = std::isalnum(static_cast<unsigned char>(before)) != 0 || before == '_' || before == '$';
    if (!in_a_name) return true;
  }
  return false;
}

bool session_is_swapped(const SqlError& error) noexcept {
  return error.kind == SqlError::Kind::said && error.sqlstate == "26000" && error.context.empty();
}

bool server_is_gone(const SqlError& error) noexcept {
  const std::string_view state = error.sqlstate;
  if (error.kind == SqlError::Kind::said) return state == "25006" && error.context.empty();
  return state == "57P02" || state == "57P03" || state == "57P04";
}

}  // namespace ratchet::db
