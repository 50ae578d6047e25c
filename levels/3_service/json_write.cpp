#include "levels/3_service/json_write.hpp"

#include "levels/3_service/json_scan.hpp"

namespace ratchet::service {
namespace {

bool is_plain(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

void append_control(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out += "\\u00";
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t from = i;
    while (i < text.size() && is_plain(text[i]))
      i++;
    out.append(text, from, i - from);
    if (i == text.size()) return;
    const char c = text[i];
    std::size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      append_control(out, c);
    } else if ((length = utf8_character(text.substr(i))) > 0) {
      out.append(text, i, length);
    } else {
      out += "\xef\xbf\xbd";
      length = 1;
    }
    i += length;
  }
}

}  // namespace ratchet::service
