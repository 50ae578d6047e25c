#include "levels/2_broker/record_headers.hpp"

#include <charconv>
#include <cstdint>

namespace ratchet::kafka {
namespace {

void append_utf8(std::string& text, std::uint32_t point) {
  auto byte = [&](std::uint32_t bits) { text += static_cast<char>(static_cast<unsigned char>(bits)); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) {
    byte(0xc0 | (point >> 6));
  } else if (point < 0x10000) {
    byte(0xe0 | (point >> 12));
    byte(0x80 | ((point >> 6) & 0x3f));
  } else {
    byte(0xf0 | (point >> 18));
    byte(0x80 | ((point >> 12) & 0x3f));
    byte(0x80 | ((point >> 6) & 0x3f));
  }
  byte(0x80 | (point & 0x3f));
}

// Four hexadecimal digits at the start of `text`.
bool hex4(std::string_view text, std::uint32_t& unit) {
  if (text.size() < 4) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + 4, unit, 16);
  return error == std::errc() && end == text.data() + 4;
}

char plain_escape(char c) noexcept {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '"':
    case '\\':
    case '/':
      return c;
    default:
      return 0;
  }
}

// What follows a \u: one character, or a pair of surrogates. Takes it off `raw`.
bool unicode_escape(std::string_view& raw, std::string& text) {
  std::uint32_t unit = 0, low = 0;
  if (!hex4(raw, unit)) return false;
  raw.remove_prefix(4);
  if (unit >= 0xd800 && unit < 0xdc00) {
    if (!raw.starts_with("\\u") || !hex4(raw.substr(2), low) || low < 0xdc00 || low > 0xdfff) return false;
    raw.remove_prefix(6);
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  } else if (unit >= 0xdc00 && unit < 0xe000) {
    return false;
  }
  append_utf8(text, unit);
  return true;
}

}  // namespace

bool HeaderReader::read(std::string_view json, RecordHeaders& headers) {
  headers.clear();
  decoded_.clear();
  rest_ = json;
  skip_space();
  if (take('{') && members(headers)) {
    skip_space();
    if (rest_.empty()) return true;
  }
  headers.clear();
  return false;
}

bool HeaderReader::members(RecordHeaders& headers) {
  skip_space();
  if (take('}')) return true;
  do {
    std::string_view name, text;
    skip_space();
    if (!string(name)) return false;
    skip_space();
    if (!take(':')) return false;
    skip_space();
    if (!value(text)) return false;
    headers.emplace_back(name, text);
    skip_space();
  } while (take(','));
  return take('}');
}

bool HeaderReader::string(std::string_view& text) {
  std::string_view whole = rest_;
  if (!skip_string()) return false;
  whole = whole.substr(1, whole.size() - rest_.size() - 2);
  if (whole.find('\\') == std::string_view::npos) {
    text = whole;
    return true;
  }
  return decode(whole, text);
}

bool HeaderReader::decode(std::string_view raw, std::string_view& text) {
  std::string out;
  while (!raw.empty()) {
    auto escape = raw.find('\\');
    out += raw.substr(0, escape);
    if (escape == std::string_view::npos) break;
    raw.remove_prefix(escape + 1);
    char what = raw.front();  // skip_string has seen that something follows
    raw.remove_prefix(1);
    if (what == 'u') {
      if (!unicode_escape(raw, out)) return false;
    } else if (char plain = plain_escape(what); plain != 0) {
      out += plain;
    } else {
      return false;
    }
  }
  text = decoded_.emplace_back(std::move(out));
  return true;
}

bool HeaderReader::value(std::string_view& text) {
  if (!rest_.empty() && rest_.front() == '"') return string(text);
  std::string_view whole = rest_;
  std::size_t depth = 0;
  while (!rest_.empty()) {
    char c = rest_.front();
    if (c == '"') {
      if (depth == 0 || !skip_string()) return false;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') {
      if (depth == 0) return false;
      --depth;
    }
    rest_.remove_prefix(1);
  }
  text = whole.substr(0, whole.size() - rest_.size());
  while (!text.empty() && text.back() <= ' ')
    text.remove_suffix(1);
  return depth == 0 && !text.empty();
}

// From the opening quote to behind the closing one.
bool HeaderReader::skip_string() {
  if (!take('"')) return false;
  for (std::size_t at = 0; at < rest_.size(); ++at) {
    if (rest_[at] == '\\') {
      ++at;
    } else if (rest_[at] == '"') {
      rest_.remove_prefix(at + 1);
      return true;
    }
  }
  return false;
}

void HeaderReader::skip_space() noexcept {
  while (!rest_.empty() &&
         (rest_.front() == ' ' || rest_.front() == '\n' || rest_.front() == '\t' || rest_.front() == '\r')) {
    rest_.remove_prefix(1);
  }
}

bool HeaderReader::take(char c) noexcept {
  if (rest_.empty() || rest_.front() != c) return false;
  rest_.remove_prefix(1);
  return true;
}

}  // namespace ratchet::kafka
