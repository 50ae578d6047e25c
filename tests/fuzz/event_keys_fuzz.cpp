// What is read from a request beside its body: a query parameter, an Idempotency-Key, a media type, a traceparent. Each
// is read again from what it was read as, and is the same.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "levels/3_service/event_route.hpp"

namespace {

using namespace ratchet::service;

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += '%';
    out += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

void query(std::string_view input) {
  std::string value, again;
  const QueryFound found = read_query_parameter(input, "k", value);
  const std::string query(input);
  if (found == QueryFound::found) {
    must(read_query_parameter("x&k=" + percent_encoded(value), "k", again) == QueryFound::found && again == value,
         "encoded anew it is another value", input);
    must(read_query_parameter(query + "&%6B=1", "k", again) == QueryFound::twice, "a second one is not seen", input);
  } else if (found == QueryFound::absent) {
    must(read_query_parameter(query + "&k=1", "k", again) == QueryFound::found && again == "1", "the one is not seen",
         input);
  }
}

void idempotency_key(std::string_view input) {
  std::string key, again;
  if (!read_idempotency_key(input, key)) return;
  must(!key.empty() && key.size() <= 255, "too short or too long a key", input);
  std::string quoted = "\"";
  for (const char c : key) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  must(read_idempotency_key(quoted + "\"", again) && again == key, "quoted it is another key", input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  query(input);
  idempotency_key(input);
  std::string spelled, again;
  spell_media_type(input, spelled);
  spell_media_type(spelled, again);
  must(spelled == again && spelled.size() <= input.size(), "a media type is spelled in two ways", input);
  must(!is_trace_parent(input) || (input.size() >= 55 && input.size() <= 512), "a traceparent of no length", input);
  return 0;
}
