// nlohmann/json as the judge of our JSON scanner: the same rules on top of its SAX parser. Used by the property
// test and by the fuzzer.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "levels/3_service/json_scan.hpp"

namespace ratchet::tests {

class JsonReference final : public nlohmann::json_sax<nlohmann::json> {
 public:
  using Found = service::JsonScan::Found;
  struct Verdict {
    bool valid = false;
    bool mute = false;  // a number that it cannot hold: valid JSON, but it does not say
    Found found = Found::absent;
    std::string text;                     // of a string, or of a number with a fraction or an exponent
    std::optional<std::int64_t> integer;  // of a number without
    std::optional<std::uint64_t> large;
  };

  static Verdict judge(std::string_view text, const std::vector<std::string>& path) {
    // Two things it lets pass: a byte order mark in front, and a NUL, which ends its input.
    if (text.substr(0, 3) == "\xef\xbb\xbf" || text.find('\0') != std::string_view::npos) return {};
    JsonReference self(path);
    self.verdict_.valid = nlohmann::json::sax_parse(text.begin(), text.end(), &self);
    if (!self.verdict_.valid) {
      const bool mute = self.verdict_.mute;
      self.verdict_ = {};
      self.verdict_.mute = mute;
    }
    return self.verdict_;
  }

  bool null() override { return leaf(Found::null); }
  bool boolean(bool v) override { return leaf(Found::boolean, v ? "true" : "false"); }
  bool number_integer(number_integer_t v) override {
    if (here()) verdict_.integer = v;
    return leaf(Found::number);
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (here()) verdict_.large = v;
    return leaf(Found::number);
  }
  bool number_float(number_float_t, const string_t& lexeme) override { return leaf(Found::number, lexeme); }
  bool string(string_t& v) override { return leaf(Found::string, v); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter(true); }
  bool start_array(std::size_t) override { return enter(false); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& k) override {
    open_.back().key = k;
    return open_.back().keys.insert(k).second;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    verdict_.mute = e.id == 406;
    return false;
  }

 private:
  explicit JsonReference(const std::vector<std::string>& path) : path_(path) {}

  struct Open {
    bool object;
    std::set<std::string> keys;
    std::string key;
  };

  bool here() const {
    if (path_.empty() || open_.size() != path_.size()) return false;
    for (std::size_t i = 0; i < path_.size(); i++) {
      if (!open_[i].object || open_[i].key != path_[i]) return false;
    }
    return true;
  }
  bool leaf(Found found, const std::string& text = {}) {
    if (here()) {
      verdict_.found = found;
      verdict_.text = text;
    }
    return true;
  }
  bool enter(bool object) {
    leaf(object ? Found::object : Found::array);
    open_.push_back({object, {}, {}});
    return static_cast<int>(open_.size()) <= service::kJsonDepth;
  }
  bool leave() {
    open_.pop_back();
    return true;
  }

  const std::vector<std::string>& path_;
  std::vector<Open> open_;
  Verdict verdict_;
};

// Empty: they agree. Else how they differ.
inline std::string disagreement(const service::JsonScan& ours, std::string_view text,
                                const std::vector<std::string>& path) {
  using Found = service::JsonScan::Found;
  const auto theirs = JsonReference::judge(text, path);
  if (theirs.mute) return {};
  if (ours.valid != theirs.valid) {
    return theirs.valid ? "refused a valid text: " + std::string(ours.error) + " at " + std::to_string(ours.error_at)
                        : "accepted an invalid text";
  }
  if (!ours.valid && (ours.error.empty() || ours.error_at > text.size())) return "no error, or beyond the text";
  if (ours.found != theirs.found) return "found another kind";
  if (ours.found == Found::number) {
    if (theirs.integer) return std::stoll(ours.value) == *theirs.integer ? "" : "another integer";
    if (theirs.large) return std::stoull(ours.value) == *theirs.large ? "" : "another unsigned integer";
  }
  return ours.value == theirs.text ? "" : "another value";
}

}  // namespace ratchet::tests
