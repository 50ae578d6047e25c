// The PROXY header: any bytes, cut anywhere, get one verdict; what is taken is within its bounds and names an address.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "levels/0_baseline/proxy_protocol.hpp"

namespace {

using namespace ratchet::http;

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

Scan scan_copy(std::string_view input, ProxyHeader& header) {
  const std::string copy(input);  // so that a look past its end is seen
  return scan_proxy(copy, header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t at = (data[0] | static_cast<std::size_t>(data[1]) << 8U) % (input.size() + 1);
  ProxyHeader whole, part;
  const Scan verdict = scan_copy(input, whole);
  const Scan early = scan_copy(input.substr(0, at), part);
  must(early == Scan::incomplete || early == verdict, "a part is judged differently", input);
  must(verdict != Scan::incomplete || input.size() < ProxyHeader::kMostV2, "it waits for more than the longest header",
       input);
  if (verdict != Scan::complete) return 0;
  must(whole.bytes <= input.size() && whole.bytes <= ProxyHeader::kMostV2, "it ends after its end", input);
  if (early == Scan::complete)
    must(part.bytes == whole.bytes && part.client.view() == whole.client.view(), "a part is another header", input);
  if (early == Scan::incomplete) must(at < whole.bytes, "a whole one is not seen", input);
  must(whole.client.empty() || ratchet::parse_numeric(whole.client.view()).has_value(), "the client is no address",
       input);
  return 0;
}
