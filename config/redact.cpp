// redact(): a lexer over text of unknown shape. It knows the two shapes in which secrets travel: the user info of a
// URI (scheme://user:SECRET@host), and a name that says "secret" followed by its value (password=x, "password": "x",
// \"password\":\"x\" inside a JSON string, Authorization: Bearer x, ?password=x&). Where the end of a secret is in
// doubt, rather too much is hidden than too little. The text comes from strangers (a path in the access log), so every
// look ahead either ends in something hidden, or stops where the next one begins, or is remembered.
#include <algorithm>
#include <array>
#include <cctype>

#include "config/secret.hpp"

namespace ratchet {

namespace {

constexpr std::string_view kStars = "***";
constexpr std::string_view kSpace = " \t\n\r\f\v";

constexpr std::array<std::string_view, 11> kSecretEndings = {"password",
                                                             "passwd",
                                                             "passphrase",
                                                             "secret",
                                                             "token",
                                                             "authorization",
                                                             "api_key",
                                                             "private_key",
                                                             "client_key",
                                                             "ssl.key.pem",
                                                             "sasl.oauthbearer.config"};

bool is_name(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

class Redactor {
 public:
  explicit Redactor(std::string_view text) : text_(text) { out_.reserve(text.size()); }

  std::string run() {
    while (at_ < text_.size()) {
      if (text_.substr(at_).starts_with("://")) {
        user_info();
      } else if (is_name(text_[at_])) {
        name();
      } else {
        copy_to(at_ + 1);
      }
    }
    return std::move(out_);
  }

 private:
  char peek(std::size_t at) const noexcept { return at < text_.size() ? text_[at] : '\0'; }
  bool escaped(std::size_t at) const noexcept { return backslashes_before(at) % 2 == 1; }
  std::size_t backslashes_before(std::size_t at) const noexcept {
    std::size_t n = 0;
    while (n < at && text_[at - n - 1] == '\\')
      ++n;
    return n;
  }
  std::size_t skip(std::size_t at, std::string_view what) const noexcept {
    return std::min(text_.find_first_not_of(what, at), text_.size());
  }

  void copy_to(std::size_t end) {
    for (; at_ < end; ++at_) {
      if (text_[at_] == '"' && !escaped(at_)) quoted_ = !quoted_;
      out_ += text_[at_];
    }
  }
  void hide_to(std::size_t end) {
    if (end > at_) out_ += kStars;
    at_ = end;
  }

  // The end of a word: white space, or the quote that closes the string it stands in. `from`: not behind a backslash.
  std::size_t word_end(std::size_t from, std::string_view more = {}) const noexcept {
    bool is_escaped = false;
    std::size_t at = from;
    for (; at < text_.size(); ++at) {
      if (is_escaped) {
        is_escaped = false;
        continue;
      }
      if (kSpace.find(text_[at]) != std::string_view::npos || more.find(text_[at]) != std::string_view::npos) break;
      if (quoted_ && text_[at] == '"') break;
      is_escaped = text_[at] == '\\';
    }
    return at;
  }

  // The last '@' between here and `end`.
  std::size_t last_sign(std::size_t end) const noexcept {
    const std::size_t sign = text_.substr(at_, end - at_).rfind('@');
    return sign == std::string_view::npos ? sign : at_ + sign;
  }

  // The word of a PostgreSQL URI, and its last '@'. Others may begin in the same word ("postgres://postgres://"), and
  // inside or outside of quotes it ends at the same place for all of them.
  struct Word {
    std::size_t end = 0;
    std::size_t sign = std::string_view::npos;
  };
  const Word& postgres_word() {
    Word& word = words_[quoted_ ? 1 : 0];
    if (at_ >= word.end) {
      word.end = word_end(at_);
      word.sign = last_sign(word.end);
    }
    return word;
  }

  // At "://". Hidden is what stands between the first ':' and the last '@' of the authority; in a PostgreSQL URI the
  // last '@' of the whole word counts, because an unescaped '/' or '?' in a password is a mistake people make.
  void user_info() {
    const std::string before =
        lower(std::string_view(out_).substr(out_.size() - std::min<std::size_t>(out_.size(), 10)));
    const bool postgres = before.ends_with("postgres") || before.ends_with("postgresql");
    copy_to(at_ + 3);
    const std::size_t host = postgres ? postgres_word().sign : last_sign(word_end(at_, "/?#"));
    if (host == std::string_view::npos || host < at_) return;
    const std::size_t colon = text_.substr(at_, host - at_).find(':');
    if (colon == std::string_view::npos) return;
    copy_to(at_ + colon + 1);
    hide_to(host);
  }

  void name() {
    const std::size_t start = at_;
    std::size_t end = start;
    while (end < text_.size() && is_name(text_[end]))
      ++end;
    const std::string_view key = text_.substr(start, end - start);
    copy_to(end);
    if (!names_a_secret(key)) return;
    std::size_t after = end;
    if (start > 0 && (text_[start - 1] == '"' || text_[start - 1] == '\'')) {
      const std::size_t quote = skip(end, "\\");
      if (peek(quote) == text_[start - 1]) after = quote + 1;
    }
    after = skip(after, kSpace);
    if (peek(after) != '=' && peek(after) != ':') return;
    copy_to(skip(after + 1, kSpace));
    value(lower(key).ends_with("authorization"), start > 0 && (text_[start - 1] == '?' || text_[start - 1] == '&'));
  }

  void value(bool whole_line, bool in_query) {
    if (peek(at_) == '{' || peek(at_) == '[') return;  // says where the secret is, not the secret
    const std::size_t quote = skip(at_, "\\");
    if (peek(quote) == '"' || peek(quote) == '\'') {
      const char mark = text_[quote];
      const std::size_t depth = quote - at_;
      if (mark == '\'' || depth > 0 || !quoted_) {
        copy_to(quote + 1);
        hide_to(closing(quote, mark, depth));
        return;
      }
    }
    if (whole_line) {
      std::size_t end = at_;
      while (end < text_.size() && text_[end] != '\n' && text_[end] != '\r' && !(quoted_ && text_[end] == '"'))
        ++end;
      hide_to(end);
    } else {
      hide_to(word_end(at_, in_query ? "&#" : ""));
    }
  }

  // Where the value ends that was opened at `quote` by a mark behind `depth` backslashes. Without an end: all of it.
  std::size_t closing(std::size_t quote, char mark, std::size_t depth) const noexcept {
    for (std::size_t at = quote + 1; at < text_.size(); ++at) {
      if (text_[at] != mark) continue;
      const std::size_t n = std::min(backslashes_before(at), at - quote - 1);
      if (depth == 0 ? n % 2 == 0 : n == depth) return at - (depth == 0 ? 0 : depth);
    }
    return text_.size();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::array<Word, 2> words_{};  // outside and inside of quotes
  bool quoted_ = false;          // inside a double-quoted string, as far as one can tell
  std::string out_;
};

}  // namespace

bool names_a_secret(std::string_view key) {
  const std::string name = lower(key);
  return std::any_of(kSecretEndings.begin(), kSecretEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

std::string redact(std::string_view text) { return Redactor(text).run(); }

}  // namespace ratchet
