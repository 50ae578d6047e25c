#include "config/dsn.hpp"

namespace ratchet {

namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

bool is_space(char c) noexcept { return kSpace.find(c) != std::string_view::npos; }

SplitDsn wrong(std::string why, std::size_t at) {
  SplitDsn out;
  out.error = std::move(why) + " at byte " + std::to_string(at);
  return out;
}

// keyword = value, keyword = 'va\'lue': libpq's conninfo_parse.
SplitDsn split_conninfo(std::string_view text) {
  SplitDsn out;
  std::size_t at = 0;
  const auto space = [&] {
    while (at < text.size() && is_space(text[at]))
      ++at;
  };
  for (space(); at < text.size(); space()) {
    const std::size_t start = at;
    while (at < text.size() && text[at] != '=' && !is_space(text[at]))
      ++at;
    const std::string_view name = text.substr(start, at - start);
    space();
    if (at >= text.size() || text[at] != '=' || name.empty())
      return wrong("a word that is no \"keyword=value\"", start);
    ++at;
    space();
    const bool quoted = at < text.size() && text[at] == '\'';
    if (quoted) ++at;
    std::string value;
    while (at < text.size() && (quoted ? text[at] != '\'' : !is_space(text[at]))) {
      if (text[at] == '\\' && at + 1 < text.size()) ++at;
      value += text[at++];
    }
    if (quoted && at >= text.size()) return wrong("a quote that is not closed", start);
    if (quoted) ++at;
    if (name == "password") {
      out.password = std::move(value);
      continue;
    }
    if (name == "sslpassword") out.key_password = true;
    if (!out.rest.empty()) out.rest += ' ';
    out.rest += text.substr(start, at - start);
  }
  return out;
}

int hex(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    if (at + 2 >= text.size()) return std::nullopt;
    const int high = hex(text[at + 1]);
    const int low = hex(text[at + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return out;
}

// scheme://[user[:password]@]hosts[/dbname][?name=value&...]
SplitDsn split_uri(std::string_view text, std::size_t scheme) {
  SplitDsn out;
  out.rest = text.substr(0, scheme);
  std::string_view left = text.substr(scheme);
  const std::size_t stop = left.find_first_of("@/");
  if (stop != std::string_view::npos && left[stop] == '@') {
    const std::string_view info = left.substr(0, stop);
    const std::size_t colon = info.find(':');
    if (colon != std::string_view::npos) {
      out.password = percent_decoded(info.substr(colon + 1));
      if (!out.password) return wrong("a bad percent-escape in the password", scheme + colon + 1);
    }
    out.rest += info.substr(0, colon);
    if (!info.substr(0, colon).empty()) out.rest += '@';
    left.remove_prefix(stop + 1);
  }
  const std::size_t query = left.find('?');
  out.rest += left.substr(0, query);
  if (query == std::string_view::npos) return out;
  left.remove_prefix(query + 1);
  char joint = '?';
  while (!left.empty()) {
    const std::string_view pair = left.substr(0, left.find('&'));
    left.remove_prefix(pair.size() + (pair.size() < left.size() ? 1 : 0));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return wrong("a query parameter without \"=\"", text.size() - left.size());
    const auto name = percent_decoded(pair.substr(0, equals));
    const auto value = percent_decoded(pair.substr(equals + 1));
    if (!name || !value) return wrong("a bad percent-escape in a query parameter", text.size() - left.size());
    if (*name == "password") {
      out.password = value;
      continue;
    }
    if (*name == "sslpassword") out.key_password = true;
    out.rest += joint;
    out.rest += pair;
    joint = '&';
  }
  return out;
}

}  // namespace

SplitDsn split_dsn(std::string_view dsn) {
  for (const std::string_view scheme : {"postgresql://", "postgres://"}) {
    if (dsn.starts_with(scheme)) return split_uri(dsn, scheme.size());
  }
  return split_conninfo(dsn);
}

}  // namespace ratchet
