// X-Forwarded-For and Forwarded, from the bytes of a request: an address, or none; never one that only a stranger wrote
// behind the last hop that is trusted.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "levels/0_baseline/client_address.hpp"

namespace {

using namespace ratchet;

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

std::string client_of(const std::string& lines) {
  static const http::TrustedProxies trusted({"10.0.0.0/8", "2001:db8::/32", "unix:"});
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n\r\n";
  const auto head = std::make_unique<http::Head>();
  http::Refusal refusal;
  if (http::scan(request, {}, *head, refusal) != http::Scan::complete) return "refused";
  return std::string(trusted.client(*head).view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string client = client_of(std::string(input));
  must(client.empty() || client == "refused" || parse_numeric(client).has_value(), "the client is no address", input);
  if (input.find_first_of("\r\n") != std::string_view::npos) return 0;
  const std::string seen = client_of("X-Forwarded-For: " + std::string(input) + ", 192.0.2.7");
  must(seen == "192.0.2.7" || seen == "refused", "a stranger's word was believed", input);
  return 0;
}
