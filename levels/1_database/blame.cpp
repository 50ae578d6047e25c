#include "levels/1_database/blame.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace ratchet::db {
namespace {

template <std::size_t N>
bool in_class(std::string_view state, const std::array<std::string_view, N>& classes) noexcept {
  return std::any_of(classes.begin(), classes.end(), [&](auto one) { return state.starts_with(one); });
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// "(12,3)": where a tuple lies.
bool names_a_tuple(std::string_view text) noexcept {
  for (auto at = text.find('('); at != std::string_view::npos; at = text.find('(', at + 1)) {
    std::size_t i = at + 1;
    while (i < text.size() && is_digit(text[i]))
      ++i;
    if (i == at + 1 || i + 1 >= text.size() || text[i] != ',' || !is_digit(text[i + 1])) continue;
    while (++i < text.size() && is_digit(text[i])) {
    }
    if (i < text.size() && text[i] == ')') return true;
  }
  return false;
}

// 'while inserting index tuple (0,5) in relation "idem_0"', in the server's language. A wait for a lock on the table
// has no line of its own: there the innermost one is our statement, with the table's whole name.
bool waits_for_key(const SqlError& error) noexcept {
  const std::string_view where = error.context;
  return where.find("idem_") != std::string_view::npos && where.find("ratchet.") == std::string_view::npos &&
         names_a_tuple(where);
}

}  // namespace

bool may_pass_by_itself(const SqlError& error) noexcept {
  constexpr std::array<std::string_view, 4> kPassing{"53", "55P03", "57014", "58"};
  return in_class(error.sqlstate, kPassing);
}

Blame blame(const SqlError& error) noexcept {
  // Data, raised exceptions, and what in an ERROR can only be a trigger's or a foreign server's word.
  constexpr std::array<std::string_view, 9> kOfRows{"08", "22", "23", "28", "3D", "40", "57", "HV", "P0"};
  const std::string_view state = error.sqlstate;
  if (state == "40001" || state == "40P01") return Blame::race;
  if (state == "55P03" && waits_for_key(error)) return Blame::key_in_flight;
  if (!is_ours(error)) return Blame::row;
  if (may_pass_by_itself(error)) return Blame::server;
  return in_class(state, kOfRows) ? Blame::row : Blame::unclear;
}

}  // namespace ratchet::db
