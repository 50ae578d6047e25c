// From the outbox's headers (a JSON object, as PostgreSQL prints jsonb) to Kafka record headers. One pass over the
// text, views into it wherever nothing had to be decoded: this runs for every event.
//
// Names are passed on as stored. A string's value is its text, anything else (number, boolean, null, array, object)
// its JSON text, byte for byte: no number passes through a double.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ratchet::kafka {

using RecordHeaders = std::vector<std::pair<std::string_view, std::string_view>>;

class HeaderReader {
 public:
  // Replaces what is in `headers`. False: not a JSON object; `headers` is then empty. The views live as long as
  // `json` and until the next call.
  bool read(std::string_view json, RecordHeaders& headers);

 private:
  bool members(RecordHeaders& headers);
  bool string(std::string_view& text);
  bool decode(std::string_view raw, std::string_view& text);
  bool value(std::string_view& text);
  bool skip_string();
  void skip_space() noexcept;
  bool take(char c) noexcept;

  std::string_view rest_;
  std::deque<std::string> decoded_;  // a deque: its strings do not move
};

}  // namespace ratchet::kafka
