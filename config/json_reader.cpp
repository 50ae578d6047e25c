#include "config/json_reader.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace ratchet {

namespace {

using Json = nlohmann::json;

// Lets the SAX handler know how far the lexer has read: the vendor's interface does not tell.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }
  bool operator!=(const Cursor& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

class TreeBuilder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  TreeBuilder(const char* begin, const char*& furthest) : seen_(begin), furthest_(furthest) {}

  bool null() { return add({}); }
  bool boolean(bool value) {
    JsonValue v;
    v.type = JsonValue::Type::boolean;
    v.boolean = value;
    return add(std::move(v));
  }
  bool number_integer(number_integer_t value) {
    JsonValue v;
    v.type = JsonValue::Type::integer;
    v.integer = value;
    return add(std::move(v));
  }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return refuse("an integer that does not fit into 64 bits");
    }
    return number_integer(static_cast<number_integer_t>(value));
  }
  bool number_float(number_float_t, const string_t& lexeme) {
    if (lexeme.find_first_of(".eE") == std::string::npos) return refuse("an integer that does not fit into 64 bits");
    JsonValue v;
    v.type = JsonValue::Type::number;
    v.text = lexeme;
    return add(std::move(v));
  }
  bool string(string_t& value) {
    JsonValue v;
    v.type = JsonValue::Type::string;
    v.text = std::move(value);
    return add(std::move(v));
  }
  bool binary(binary_t&) { return refuse("binary data"); }
  bool start_object(std::size_t) { return open(JsonValue::Type::object); }
  bool start_array(std::size_t) { return open(JsonValue::Type::array); }
  bool key(string_t& name) {
    if (!open_.back().names.insert(name).second) return refuse("a key twice in one object: \"" + shown(name) + "\"");
    open_.back().value.names.push_back(std::move(name));
    open_.back().member_line = line();
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) {
    return refuse(in_plain_words(error.what()));
  }

  JsonValue& root() { return root_; }
  const std::string& error() const { return error_; }

 private:
  struct Open {
    JsonValue value;
    std::unordered_set<std::string> names;
    std::size_t member_line = 0;
  };

  static std::string shown(const std::string& name) {
    constexpr std::size_t kLongest = 60;
    return name.size() <= kLongest ? name : name.substr(0, kLongest) + "...";
  }

  // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while parsing value - invalid
  // literal; last read: 'x'" -> "syntax error while parsing value: invalid literal". What was last read may be a
  // secret.
  static std::string in_plain_words(std::string what) {
    const std::size_t read = what.find("; last read: '");
    if (read != std::string::npos) {
      const std::size_t last = what.rfind('\'');
      const std::size_t expected = what.find("; expected ", last);
      what = what.substr(0, read) + (expected == std::string::npos ? "" : what.substr(expected));
    }
    if (what.find("out_of_range") != std::string::npos) return "a number beyond the range of a double";
    const std::size_t start = what.find("syntax error");
    if (start != std::string::npos) what.erase(0, start);
    const std::size_t dash = what.find(" - ");
    if (dash != std::string::npos) what.replace(dash, 3, ": ");
    return what;
  }

  bool refuse(std::string why) {
    error_ = std::move(why);
    return false;
  }

  // Counts only what was read since the last call. The last character read is left out: after a number it is
  // already the one behind it.
  std::size_t line() {
    if (furthest_ - seen_ > 1) {
      line_ += static_cast<std::size_t>(std::count(seen_, furthest_ - 1, '\n'));
      seen_ = furthest_ - 1;
    }
    return line_;
  }

  std::size_t line_of_next() {
    if (open_.empty() || open_.back().value.type == JsonValue::Type::array) return line();
    return open_.back().member_line;
  }

  bool open(JsonValue::Type type) {
    if (open_.size() >= kMaxJsonDepth) return refuse("nesting deeper than " + std::to_string(kMaxJsonDepth));
    const std::size_t at = line_of_next();
    open_.emplace_back();
    open_.back().value.type = type;
    open_.back().value.line = at;
    return true;
  }

  bool close() {
    JsonValue done = std::move(open_.back().value);
    open_.pop_back();
    place(std::move(done));
    return true;
  }

  bool add(JsonValue value) {
    value.line = line_of_next();
    place(std::move(value));
    return true;
  }

  void place(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back().value.items.push_back(std::move(value));
    }
  }

  const char* seen_;
  const char*& furthest_;
  std::size_t line_ = 1;
  std::vector<Open> open_;
  JsonValue root_;
  std::string error_;
};

JsonRead refused(std::string_view text, std::size_t offset, std::string why) {
  const std::string_view before = text.substr(0, offset);
  JsonRead out;
  out.error.offset = offset;
  out.error.line = 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  out.error.column = 1 + offset - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
  out.error.text = std::move(why);
  return out;
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view name) const noexcept {
  const auto at = std::find(names.begin(), names.end(), name);
  return at == names.end() ? nullptr : &items[static_cast<std::size_t>(at - names.begin())];
}

JsonRead read_json(std::string_view text) {
  if (text.size() > kMaxJsonBytes) return refused(text, kMaxJsonBytes, "larger than 16 MiB");
  if (text.starts_with("\xEF\xBB\xBF")) return refused(text, 0, "a byte order mark; save the file as plain UTF-8");
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return refused(text, nul, "a NUL byte");

  const char* furthest = text.data();
  TreeBuilder builder(text.data(), furthest);
  const bool good =
      Json::sax_parse(Cursor(text.data(), &furthest), Cursor(text.data() + text.size(), &furthest), &builder);
  if (!good) {
    const std::size_t read = static_cast<std::size_t>(furthest - text.data());
    return refused(text, read == 0 ? 0 : read - 1, builder.error());
  }
  JsonRead out;
  out.value = std::move(builder.root());
  return out;
}

}  // namespace ratchet
