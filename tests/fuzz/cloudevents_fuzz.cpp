// The headers of an event, from the bytes of a request: an envelope or a problem. Read twice by one reader and once by
// a fresh one it is the same; what is taken is sound.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "levels/3_service/cloudevents.hpp"

namespace {

using namespace ratchet;
using service::Envelope;
using service::EnvelopeReader;

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

std::string told(EnvelopeReader& reader, const http::Head& head, std::string_view input) {
  Envelope e;
  if (const auto problem = reader.read(head, e)) {
    must(problem->status >= 400 && problem->status < 500 && !problem->detail.empty(), "a problem without reason",
         input);
    return "problem " + std::to_string(problem->status) + problem->detail;
  }
  if (e.cloudevent)
    must(!e.id.empty() && !e.source.empty() && !e.type.empty(), "a CloudEvent that lacks an attribute", input);
  must(e.time.empty() || service::is_rfc3339(e.time), "a time that is none", input);
  std::string out;
  for (const std::string_view part : {e.content_type, e.id, e.source, e.type, e.time})
    out.append(part).push_back('\n');
  for (const auto& extension : e.extensions) {
    must(!extension.name.empty() && extension.name.size() <= 20, "an extension's name", input);
    for (const char c : extension.name)
      must((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'), "an extension's name", input);
    out.append(extension.name).append("=").append(extension.value).push_back('\n');
  }
  // Later it becomes a record's headers: no control character may have been decoded into it.
  for (const char c : e.cloudevent ? out : std::string())
    must(c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20, "a control character", input);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static EnvelopeReader kept;  // as the server keeps it
  const std::string_view lines(reinterpret_cast<const char*>(data), size);
  const std::string request = "POST /e HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n\r\n";
  const auto head = std::make_unique<http::Head>();
  http::Refusal refusal;
  if (http::scan(request, {}, *head, refusal) != http::Scan::complete) return 0;
  EnvelopeReader fresh;
  const std::string once = told(kept, *head, lines);
  must(told(kept, *head, lines) == once, "read again it is another", lines);
  must(told(fresh, *head, lines) == once, "a fresh reader reads another", lines);
  return 0;
}
