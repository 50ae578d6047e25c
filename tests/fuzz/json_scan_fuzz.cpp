// The JSON scanner against nlohmann/json: the same verdict, the same value, for any bytes.
#include <cstdio>
#include <cstdlib>

#include "tests/levels/3_service/json_reference.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Path = std::vector<std::string>;
  static const std::vector<Path> paths{{}, {"a"}, {"a", "b"}, {""}};
  static ratchet::service::JsonScanner scanner({1, 2});  // kept, as the server keeps it
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Path& path : paths) {
    const auto how = ratchet::tests::disagreement(scanner.scan(text, path), text, path);
    if (!how.empty()) {
      std::fprintf(stderr, "%s: %.*s\n", how.c_str(), static_cast<int>(size), text.data());
      std::abort();
    }
  }
  return 0;
}
