// The redactor on arbitrary bytes. It invents nothing but stars: what it leaves is the text, with pieces cut out. And
// what stands as a password in front of any text is never shown.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/secret.hpp"

namespace {

constexpr std::string_view kSecret = "q7Zq7Zq7Z";  // without a character that means something

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

// Is `out`, its stars left out, what remains of `text` when pieces are cut out?
bool remains_of(std::string_view out, std::string_view text) {
  std::size_t at = 0;
  for (const char c : out) {
    if (c == '*') continue;
    at = text.find(c, at);
    if (at == std::string_view::npos) return false;
    ++at;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string out = ratchet::redact(text);
  must(remains_of(out, text), "something was invented", text);
  must(out.size() <= 3 * text.size(), "it has grown", text);
  if (text.find(kSecret) != std::string_view::npos) return 0;
  for (const std::string_view before : {"password=", "token: ", "\"client_secret\": \"", "postgres://u:"}) {
    std::string whole(before);
    whole.append(kSecret).append(before.ends_with('"') ? "\" " : before.ends_with("u:") ? "@h " : " ").append(text);
    must(ratchet::redact(whole).find(kSecret) == std::string::npos, "a secret is shown", whole);
  }
  return 0;
}
