// The chunked reader: any bytes, cut in two anywhere and byte by byte, get one verdict, one body and one end; a body
// is never longer than the limit; and what is complete, written again as one chunk, is the same body.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "levels/0_baseline/http_chunked.hpp"

namespace {

using namespace ratchet::http;

constexpr std::size_t kMost = 300;

struct Outcome {
  Scan verdict = Scan::incomplete;
  int status = 0;
  std::size_t used = 0;
  std::string body;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

void feed(ChunkedReader& reader, std::string_view piece, Outcome& outcome) {
  if (outcome.verdict != Scan::incomplete) return;
  const std::string copy(piece);  // so that a look past its end is seen
  Refusal refusal;
  std::size_t used = 0;
  outcome.verdict = reader.read(copy, used, outcome.body, refusal);
  outcome.used += used;
  outcome.status = refusal.status;
}

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t at = (data[0] | static_cast<std::size_t>(data[1]) << 8U) % (input.size() + 1);  // where it is cut

  Outcome whole, cut, bytes;
  ChunkedReader one(kMost), two(kMost), three(kMost);
  feed(one, input, whole);
  feed(two, input.substr(0, at), cut);
  feed(two, input.substr(at), cut);
  for (std::size_t i = 0; i < input.size(); ++i)
    feed(three, input.substr(i, 1), bytes);
  must(cut == whole, "cut in two it is read differently", input);
  must(bytes == whole, "byte by byte it is read differently", input);
  must(whole.body.size() <= kMost, "the body is longer than the limit", input);
  must(whole.verdict != Scan::refused || whole.status == 400 || whole.status == 413, "a refusal of another kind",
       input);
  if (whole.verdict != Scan::complete) return 0;

  char length[20];
  std::snprintf(length, sizeof length, "%zx\r\n", whole.body.size());
  const std::string again = whole.body.empty() ? "0\r\n\r\n" : length + whole.body + "\r\n0\r\n\r\n";
  Outcome written;
  ChunkedReader four(kMost);
  feed(four, again, written);
  must(written.verdict == Scan::complete && written.body == whole.body && written.used == again.size(),
       "written again it is another body", input);
  return 0;
}
