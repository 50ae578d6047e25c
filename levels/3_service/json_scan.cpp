// Recursive descent over the bytes, at most kJsonDepth deep.
//
// Strings are skipped eight bytes at a time until something needs a look: a quote, a backslash, a control character,
// a byte of a longer character.
//
// Duplicate keys: the keys of all open objects lie on one stack, each object's at its top end, so an object's keys
// are one stretch of an array. Up to kLinear keys a new one is compared with each of them (by a 64-bit tag first:
// length and six bytes). An object that grows larger moves into a hash table shared by all large objects of the
// text; SipHash, keyed, because bodies come from strangers. Keys with escapes are compared unescaped; these are kept
// in a side buffer whose addresses follow the text's.
#include "levels/3_service/json_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ratchet::service {
namespace {

using Found = JsonScan::Found;

constexpr std::size_t kLinear = 32;
constexpr std::size_t kMostBytes = 0x7fff'ffff;
constexpr std::size_t kKeepBytes = std::size_t{64} * 1024;  // buffers larger than this are given back after the scan

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

// SipHash-1-3.
std::uint64_t sip_hash(std::string_view data, std::uint64_t key0, std::uint64_t key1) noexcept {
  std::uint64_t v0 = key0 ^ 0x736f6d6570736575, v1 = key1 ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key0 ^ 0x6c7967656e657261, v3 = key1 ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  const auto take = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  };
  std::size_t i = 0;
  for (; i + 8 <= data.size(); i += 8)
    take(eight_bytes(data.data() + i));
  std::uint64_t last = static_cast<std::uint64_t>(data.size()) << 56;
  for (std::size_t k = 0; i + k < data.size(); k++)
    last |= std::uint64_t{static_cast<unsigned char>(data[i + k])} << (8 * k);
  take(last);
  v2 ^= 0xff;
  round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace

class JsonScanner::Inside {
 public:
  explicit Inside(std::uint64_t seed) noexcept : seed_(seed) {}

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
    give_back();
    return result_;
  }

 private:
  struct Key {
    std::uint64_t tag;
    std::uint32_t at;  // in the text, or past its end: in unescaped_
    std::uint32_t size;
  };
  struct Slot {                // of the table for large objects
    std::uint32_t object = 0;  // 0: free
    std::uint32_t at = 0, size = 0;
  };
  struct Object {
    std::size_t first_key;    // on the stack
    std::uint32_t large = 0;  // its number in the table, once it is large
  };

  void start(std::string_view text, const std::vector<std::string>& path) {
    text_ = text;
    p_ = text.data();
    end_ = p_ + text.size();
    path_end_ = path.data() + path.size();
    keys_.clear();
    unescaped_.clear();
    if (large_objects_ > 0) std::fill(table_.begin(), table_.end(), Slot{});
    large_objects_ = 0;
    in_table_ = 0;
    result_.valid = false;
    result_.error_at = 0;
    result_.error = {};
    result_.found = Found::absent;
    result_.value.clear();
  }

  void give_back() {
    if (keys_.capacity() * sizeof(Key) > kKeepBytes) keys_ = {};
    if (table_.capacity() * sizeof(Slot) > kKeepBytes) {
      table_ = {};
      large_objects_ = 0;
    }
    if (unescaped_.capacity() > kKeepBytes) unescaped_ = {};
  }

  bool fail(std::string_view error, std::size_t at) {
    result_.error = error;
    result_.error_at = at;
    return false;
  }
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
    if (depth > kJsonDepth) return fail("depth over 64");
    ++p_;
    if (next_is(']')) return true;
    do {
      if (!value(depth, nullptr)) return false;
    } while (next_is(','));
    return next_is(']') || unexpected();
  }

  bool object(int depth, const std::string* wanted) {
    if (depth > kJsonDepth) return fail("depth over 64");
    ++p_;
    if (next_is('}')) return true;
    Object self{keys_.size()};
    do {
      skip_space();
      const std::size_t key_at = offset();
      if (p_ == end_ || *p_ != '"') return unexpected();
      ++p_;
      Key key;
      if (!read_key(key)) return false;
      if (!add_key(self, key)) return fail("duplicate key", key_at);
      if (!next_is(':')) return unexpected();
      const bool on_path = wanted != nullptr && text_of(key.at, key.size) == *wanted;
      if (!value(depth, on_path ? wanted + 1 : nullptr)) return false;
    } while (next_is(','));
    keys_.resize(self.first_key);
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

  bool read_key(Key& key) {
    const char* from = p_;
    // Most keys have no escape: find their end first, and copy nothing.
    if (!string(nullptr)) return false;
    const std::string_view raw(from, static_cast<std::size_t>(p_ - from) - 1);
    if (raw.find('\\') == std::string_view::npos) {
      key.at = static_cast<std::uint32_t>(from - text_.data());
      key.size = static_cast<std::uint32_t>(raw.size());
    } else {
      const std::size_t start = unescaped_.size();
      p_ = from;
      if (!string(&unescaped_)) return false;
      key.at = static_cast<std::uint32_t>(text_.size() + start);
      key.size = static_cast<std::uint32_t>(unescaped_.size() - start);
    }
    const std::string_view text = text_of(key.at, key.size);
    std::array<char, 8> head{};
    std::memcpy(head.data(), text.data(), std::min<std::size_t>(text.size(), 6));
    key.tag = eight_bytes(head.data()) ^ std::uint64_t{key.size} << 48;
    return true;
  }

  std::string_view text_of(std::uint32_t at, std::uint32_t size) const noexcept {
    return at < text_.size() ? text_.substr(at, size) : std::string_view(unescaped_).substr(at - text_.size(), size);
  }

  // False: this object has it already.
  bool add_key(Object& object, const Key& key) {
    if (object.large != 0) return add_to_table(object.large, key);
    const std::string_view text = text_of(key.at, key.size);
    for (std::size_t i = object.first_key; i < keys_.size(); i++) {
      const Key& other = keys_[i];
      if (other.tag == key.tag && other.size == key.size && text_of(other.at, other.size) == text) return false;
    }
    keys_.push_back(key);
    if (keys_.size() - object.first_key < kLinear) return true;
    object.large = ++large_objects_;
    for (std::size_t i = object.first_key; i < keys_.size(); i++)
      add_to_table(object.large, keys_[i]);
    keys_.resize(object.first_key);
    return true;
  }

  bool add_to_table(std::uint32_t object, const Key& key) {
    if (in_table_ * 2 >= table_.size()) grow_table();
    Slot& slot = find_slot(object, text_of(key.at, key.size));
    if (slot.object != 0) return false;
    slot = {object, key.at, key.size};
    in_table_++;
    return true;
  }

  Slot& find_slot(std::uint32_t object, std::string_view text) noexcept {
    const std::size_t mask = table_.size() - 1;
    std::size_t i = sip_hash(text, seed_, object) & mask;
    while (table_[i].object != 0) {
      if (table_[i].object == object && text_of(table_[i].at, table_[i].size) == text) break;
      i = (i + 1) & mask;
    }
    return table_[i];
  }

  void grow_table() {
    std::vector<Slot> old(std::max<std::size_t>(256, table_.size() * 2));
    old.swap(table_);
    for (const Slot& slot : old) {
      if (slot.object != 0) find_slot(slot.object, text_of(slot.at, slot.size)) = slot;
    }
  }

  const std::uint64_t seed_;
  std::string_view text_;
  const char* p_ = nullptr;
  const char* end_ = nullptr;
  const std::string* path_end_ = nullptr;
  std::vector<Key> keys_;
  std::string unescaped_;
  std::vector<Slot> table_;
  std::size_t in_table_ = 0;
  std::uint32_t large_objects_ = 0;
  JsonScan result_;
};

JsonScanner::JsonScanner(std::uint64_t seed) : inside_(std::make_unique<Inside>(seed)) {}
JsonScanner::~JsonScanner() = default;
JsonScanner::JsonScanner(JsonScanner&&) noexcept = default;
JsonScanner& JsonScanner::operator=(JsonScanner&&) noexcept = default;

const JsonScan& JsonScanner::scan(std::string_view text, const std::vector<std::string>& path) {
  return inside_->scan(text, path);
}

JsonScan scan_json(std::string_view text, const std::vector<std::string>& path) {
  return JsonScanner(0).scan(text, path);
}

std::size_t utf8_character(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (static_cast<unsigned char>(text.front()) < 0x80) return 1;
  return static_cast<std::size_t>(utf8_length(text.data(), text.data() + text.size()));
}

}  // namespace ratchet::service
