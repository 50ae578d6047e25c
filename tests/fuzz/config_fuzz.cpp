// The configuration's loader on arbitrary bytes: settings or mistakes, never both and never a crash; a mistake says
// where it is and what would be right.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "config/load.hpp"

namespace {

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const ratchet::Loaded loaded = ratchet::load(input, "fuzz.json", "host-1");
  must(loaded.settings.has_value() == loaded.mistakes.empty(), "neither settings nor mistakes, or both", input);
  for (const ratchet::Mistake& m : loaded.mistakes) {
    must(!m.found.empty() && !m.expected.empty() && m.line >= 1, "a mistake that does not say enough", input);
    must(m.pointer.empty() || m.pointer.front() == '/', "a pointer that is none", input);
    must(!to_string(m).empty(), "a mistake without words", input);
  }
  if (!loaded.settings) return 0;
  const ratchet::Settings& s = *loaded.settings;
  must(!s.instance.empty() && !s.pools.empty() && !s.routes.empty() && !s.broker.bootstrap.empty(),
       "settings that lack something", input);
  must(s.service.drain.total >= s.service.drain.late + s.service.drain.requests + s.service.drain.flush,
       "a drain over its budget", input);
  return 0;
}
