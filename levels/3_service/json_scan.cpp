// Recursive descent over the bytes, at most kJsonDepth deep.
//
// Strings are skipped eight bytes at a time until something needs a look: a quote, a backslash, a control character,
// a byte of a longer character.
#include "levels/3_service/json_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ratchet::service {
namespace {

using Found = JsonScan::Found;

constexpr std::size_t kMostBytes = 0x7fff'ffff;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

int hex_digit(char c) noexcept {
  if (is_digit(c)) return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Length in bytes of the well-formed character of two or more bytes at p, or 0.
int utf8_length(const char* p, const char* end) noexcept {
  const auto at = [&](int i) { return end - p > i ? static_cast<unsigned char>(p[i]) : 0u; };
  const unsigned a = at(0), b = at(1);
  const int n = a >= 0xc2 && a < 0xe0 ? 2 : (a & 0xf0u) == 0xe0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
  if (n == 0) return 0;
  if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f))
    return 0;
  for (int i = 1; i < n; i++) {
    if ((at(i) & 0xc0u) != 0x80) return 0;
  }
  return n;
}

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

std::uint64_t eight_bytes(const char* p) noexcept {
  std::uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

// Marks the high bit of bytes that are a quote, a backslash, below 0x20 or above 0x7f. The lowest mark is right;
// marks above it may be false (a borrow).
std::uint64_t marks(std::uint64_t word) noexcept {
  constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101, kHigh = 0x8080'8080'8080'8080;
  const std::uint64_t quote = word ^ kOnes * '"', backslash = word ^ kOnes * '\\';
  return (((quote - kOnes) | (backslash - kOnes) | (word - kOnes * 0x20)) | word) & kHigh;
}

}  // namespace

class JsonScanner::Inside {
 public:
  Inside(const HashKey& key, const JsonLimits& limits) : limits_(limits), names_(key) {}

  const JsonScan& scan(std::string_view text, const std::vector<std::string>& path) {
    start(text, path);
    if (text.size() > kMostBytes) {
      fail("text too long", 0);
    } else if (value(0, path.empty() ? nullptr : path.data())) {
      skip_space();
      if (p_ == end_) {
        result_.valid = true;
      } else {
        fail("unexpected character after the end");
      }
    }
    if (!result_.valid) result_.found = Found::absent;
    if (result_.found == Found::absent) result_.value.clear();
    names_.give_back();
    return result_;
  }

 private:
  using Over = JsonScan::Over;

  void start(std::string_view text, const std::vector<std::string>& path) {
    text_ = text;
    p_ = text.data();
    end_ = p_ + text.size();
    path_end_ = path.data() + path.size();
    names_.start(text);
    members_ = 0;
    result_.valid = false;
    result_.over = Over::nothing;
    result_.limit = 0;
    result_.error_at = 0;
    result_.error = {};
    result_.found = Found::absent;
    result_.value.clear();
  }

  bool fail(std::string_view error, std::size_t at) {
    result_.error = error;
    result_.error_at = at;
    return false;
  }
  bool pass_over(Over what, std::size_t limit, std::string_view error, std::size_t at) {
    result_.over = what;
    result_.limit = limit;
    return fail(error, at);
  }
  bool too_deep() { return pass_over(Over::depth, static_cast<std::size_t>(kJsonDepth), "depth over 64", offset()); }
  bool fail(std::string_view error) { return fail(error, offset()); }
  bool unexpected() { return fail(p_ == end_ ? "unexpected end" : "unexpected character"); }
  std::size_t offset() const noexcept { return static_cast<std::size_t>(p_ - text_.data()); }

  void skip_space() noexcept {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\t' || *p_ == '\r'))
      ++p_;
  }
  bool next_is(char c) noexcept {
    skip_space();
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }

  // `wanted`: the part of the path that leads on from here; path_end_: this very value; null: of no interest.
  bool value(int depth, const std::string* wanted) {
    skip_space();
    if (p_ == end_) return unexpected();
    const bool lift = wanted != nullptr && wanted == path_end_;
    const char* from = p_;
    switch (*p_) {
      case '"': {
        ++p_;
        if (!string(lift ? &result_.value : nullptr)) return false;
        if (lift) result_.found = Found::string;
        return true;
      }
      case '{':
        if (lift) result_.found = Found::object;
        return object(depth + 1, lift ? nullptr : wanted);
      case '[':
        if (lift) result_.found = Found::array;
        return array(depth + 1);
      case 't':
        return word("true") && (!lift || keep(Found::boolean, from));
      case 'f':
        return word("false") && (!lift || keep(Found::boolean, from));
      case 'n':
        return word("null") && (!lift || keep(Found::null, p_));
      default:
        return number() && (!lift || keep(Found::number, from));
    }
  }

  bool keep(Found found, const char* from) {
    result_.found = found;
    result_.value.assign(from, p_);
    return true;
  }

  bool word(std::string_view expected) {
    for (const char c : expected) {
      if (p_ == end_ || *p_ != c) return unexpected();
      ++p_;
    }
    return true;
  }

  bool digits() {
    if (p_ == end_ || !is_digit(*p_)) return unexpected();
    while (p_ != end_ && is_digit(*p_))
      ++p_;
    return true;
  }

  bool number() {
    if (*p_ == '-') ++p_;
    if (p_ != end_ && *p_ == '0') {
      ++p_;
    } else if (!digits()) {
      return false;
    }
    if (p_ != end_ && *p_ == '.') {
      ++p_;
      if (!digits()) return false;
    }
    if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
      ++p_;
      if (p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
      if (!digits()) return false;
    }
    return true;
  }

  bool array(int depth) {
    if (depth > kJsonDepth) return too_deep();
    ++p_;
    if (next_is(']')) return true;
    do {
      if (!value(depth, nullptr)) return false;
    } while (next_is(','));
    return next_is(']') || unexpected();
  }

  bool object(int depth, const std::string* wanted) {
    if (depth > kJsonDepth) return too_deep();
    ++p_;
    if (next_is('}')) return true;
    auto self = names_.open();
    std::size_t members = 0;
    do {
      skip_space();
      const std::size_t key_at = offset();
      if (p_ == end_ || *p_ != '"') return unexpected();
      ++p_;
      JsonNames::Name name;
      if (!read_name(name)) return false;
      if (!names_.add(self, name)) return fail("duplicate key", key_at);
      if (++members > limits_.object_members)
        return pass_over(Over::object_members, limits_.object_members, "an object with more members than the limit",
                         key_at);
      if (++members_ > limits_.members)
        return pass_over(Over::members, limits_.members, "more members than the limit", key_at);
      if (!next_is(':')) return unexpected();
      const bool on_path = wanted != nullptr && names_.text_of(name.at, name.size) == *wanted;
      if (!value(depth, on_path ? wanted + 1 : nullptr)) return false;
    } while (next_is(','));
    names_.close(self);
    return next_is('}') || unexpected();
  }

  // After the opening quote, through the closing one. `out`: where the unescaped text goes, if anybody wants it.
  bool string(std::string* out) {
    const char* clean = p_;
    while (true) {
      skip_plain();
      if (p_ == end_) return unexpected();
      const auto c = static_cast<unsigned char>(*p_);
      if (c == '"') {
        if (out != nullptr) out->append(clean, p_);
        ++p_;
        return true;
      }
      if (c == '\\') {
        if (out != nullptr) out->append(clean, p_);
        if (!escape(out)) return false;
        clean = p_;
      } else if (c < 0x20) {
        return fail("control character in a string");
      } else if (c < 0x80) {
        ++p_;
      } else {
        const int length = utf8_length(p_, end_);
        if (length == 0) return fail("invalid UTF-8");
        p_ += length;
      }
    }
  }

  void skip_plain() noexcept {
    while (end_ - p_ >= 8) {
      const std::uint64_t marked = marks(eight_bytes(p_));
      if (marked != 0) {
        if constexpr (std::endian::native == std::endian::little) p_ += std::countr_zero(marked) / 8;
        return;
      }
      p_ += 8;
    }
  }

  bool escape(std::string* out) {
    const char* from = p_++;
    if (p_ == end_) return unexpected();
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (*p_ != 'u') {
      const std::size_t i = kLetters.find(*p_);
      if (i == std::string_view::npos) return fail("invalid escape");
      ++p_;
      if (out != nullptr) *out += kMeanings[i];
      return true;
    }
    unsigned code = 0, low = 0;
    if (!four_hex(code)) return false;
    if (code >= 0xd800 && code < 0xe000) {
      const auto lone = [&] { return fail("lone surrogate", static_cast<std::size_t>(from - text_.data())); };
      if (code >= 0xdc00 || end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u') return lone();
      ++p_;
      if (!four_hex(low)) return false;
      if (low < 0xdc00 || low > 0xdfff) return lone();
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (out != nullptr) append_utf8(*out, code);
    return true;
  }

  bool four_hex(unsigned& code) {  // p_ at the 'u'
    ++p_;
    for (int i = 0; i < 4; i++, ++p_) {
      const int digit = p_ == end_ ? -1 : hex_digit(*p_);
      if (digit < 0) return p_ == end_ ? unexpected() : fail("invalid escape");
      code = code << 4 | static_cast<unsigned>(digit);
    }
    return true;
  }

  bool read_name(JsonNames::Name& name) {
    const char* from = p_;
    // Most names have no escape: find their end first, and copy nothing.
    if (!string(nullptr)) return false;
    const std::string_view raw(from, static_cast<std::size_t>(p_ - from) - 1);
    if (raw.find('\\') == std::string_view::npos) {
      name.at = static_cast<std::uint32_t>(from - text_.data());
      name.size = static_cast<std::uint32_t>(raw.size());
    } else {
      const std::size_t start = names_.unescaped.size();
      p_ = from;
      if (!string(&names_.unescaped)) return false;
      name.at = static_cast<std::uint32_t>(text_.size() + start);
      name.size = static_cast<std::uint32_t>(names_.unescaped.size() - start);
    }
    const std::string_view text = names_.text_of(name.at, name.size);
    std::array<char, 8> head{};
    std::memcpy(head.data(), text.data(), std::min<std::size_t>(text.size(), 6));
    name.tag = eight_bytes(head.data()) ^ std::uint64_t{name.size} << 48;
    return true;
  }

  const JsonLimits limits_;
  std::string_view text_;
  const char* p_ = nullptr;
  const char* end_ = nullptr;
  const std::string* path_end_ = nullptr;
  JsonNames names_;
  std::size_t members_ = 0;  // of all objects so far
  JsonScan result_;
};

JsonScanner::JsonScanner(const HashKey& key, const JsonLimits& limits)
    : inside_(std::make_unique<Inside>(key, limits)) {}
JsonScanner::~JsonScanner() = default;
JsonScanner::JsonScanner(JsonScanner&&) noexcept = default;
JsonScanner& JsonScanner::operator=(JsonScanner&&) noexcept = default;

const JsonScan& JsonScanner::scan(std::string_view text, const std::vector<std::string>& path) {
  return inside_->scan(text, path);
}

std::size_t utf8_character(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (static_cast<unsigned char>(text.front()) < 0x80) return 1;
  return static_cast<std::size_t>(utf8_length(text.data(), text.data() + text.size()));
}

}  // namespace ratchet::service
