// Hostile inputs, doubled: what a stranger can make each parser and the redactor do. Prints the time of each size and
// what a doubling costs: 2 is linear; 4 would be quadratic. Asserts nothing.
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/dsn.hpp"
#include "config/load.hpp"
#include "config/secret.hpp"
#include "levels/0_baseline/client_address.hpp"
#include "levels/0_baseline/http_chunked.hpp"
#include "levels/0_baseline/proxy_protocol.hpp"
#include "levels/2_broker/record_headers.hpp"
#include "levels/3_service/cloudevents.hpp"
#include "levels/3_service/event_route.hpp"
#include "levels/3_service/json_scan.hpp"
#include "levels/3_service/json_write.hpp"

namespace {

using namespace ratchet;

struct Case {
  const char* name;
  std::size_t most;  // bytes; doubled up to here
  std::function<std::string(std::size_t)> make;
  std::function<void(const std::string&)> read;
};

std::function<std::string(std::size_t)> times(std::string what, std::string before = "", std::string after = "") {
  return [what = std::move(what), before = std::move(before), after = std::move(after)](std::size_t bytes) {
    std::string out = before;
    while (out.size() < bytes)
      out += what;
    return out + after;
  };
}

std::function<std::string(std::size_t)> numbered(std::string before, std::string name, std::string rest,
                                                 std::string end) {
  return [=](std::size_t bytes) {
    std::string out = before;
    for (int i = 0; out.size() < bytes; i++)
      out += name + std::to_string(i) + rest;
    return out + end;
  };
}

HttpLimits wide() {
  HttpLimits limits;
  limits.request_line_bytes = limits.header_bytes = std::size_t{64} << 20;
  limits.headers = 1'000'000;
  return limits;
}

http::Scan head_of(const std::string& text, http::Head& head) {
  static const HttpLimits limits = wide();
  http::Refusal refusal;
  return http::scan(text, limits, head, refusal);
}

void scan_json(const std::string& text) {
  static service::JsonScanner scanner({1, 2}, {10'000'000, 10'000'000});
  scanner.scan(text, {"x"});
}

void add_parsers(std::vector<Case>& all) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  const std::string head = "POST /e HTTP/1.1\r\nHost: a\r\n";
  static const auto kept = std::make_unique<http::Head>();
  const auto read_head = [](const std::string& text) { head_of(text, *kept); };
  const auto envelope = [](const std::string& text) {
    static service::EnvelopeReader reader;
    static service::Envelope out;
    if (head_of(text, *kept) == http::Scan::complete) reader.read(*kept, out);
  };
  const auto client = [](const std::string& text) {
    static const http::TrustedProxies trusted({"10.0.0.0/8"});
    if (head_of(text, *kept) == http::Scan::complete) trusted.client(*kept);
  };
  const auto chunked = [](const std::string& text) {
    http::ChunkedReader reader(std::size_t{64} << 20);
    std::size_t used = 0;
    std::string body;
    http::Refusal refusal;
    reader.read(text, used, body, refusal);
  };
  const auto parameter = [](const std::string& text) {
    std::string out;
    service::read_query_parameter(text, "k", out);
  };
  all.push_back({"head: a long path", kMiB, times("\\", "GET /", " HTTP/1.1\r\nHost: a\r\n\r\n"), read_head});
  all.push_back({"head: blanks", kMiB, times(" ", head + "X: ", "\r\n\r\n"), read_head});
  all.push_back({"head: Connection", kMiB, times(",", head + "Connection: ", "\r\n\r\n"), read_head});
  all.push_back(
      {"attributes, many", kMiB / 64, numbered(head + "Content-Type: a/b\r\n", "ce-a", ":\r\n", "\r\n"), envelope});
  all.push_back({"attributes, encoded", kMiB, times("%41", head + "ce-a: ", "\r\n\r\n"), envelope});
  all.push_back({"X-Forwarded-For", kMiB, times("10.0.0.1,", head + "X-Forwarded-For: ", "\r\n\r\n"), client});
  all.push_back({"Forwarded", kMiB, times(";", head + "Forwarded: ", "\r\n\r\n"), client});
  all.push_back({"chunks of one byte", kMiB, times("1\r\na\r\n"), chunked});
  all.push_back({"PROXY header", kMiB, times(" ", "PROXY TCP4 "), [](const std::string& text) {
                   http::ProxyHeader header;
                   http::scan_proxy(text, header);
                 }});
  all.push_back({"query: many", kMiB, times("k%6&"), parameter});
  all.push_back({"query: encoded", kMiB, times("%4b", "k="), parameter});
  all.push_back({"media type", kMiB, times("; "), [](const std::string& text) {
                   std::string out;
                   service::spell_media_type(text, out);
                 }});
  all.push_back({"JSON: names", 4 * kMiB, numbered("{", "\"", "\":0,", "\"x\":0}"), scan_json});
  all.push_back({"JSON: escaped names", 4 * kMiB, numbered("{", "\"\\u0061", "\":0,", "\"x\":0}"), scan_json});
  all.push_back({"JSON: objects of 31", 4 * kMiB,
                 [](std::size_t bytes) {
                   std::string one = "{";
                   for (int i = 0; i < 31; i++)
                     one += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
                   return times(one + "},", "[", "0]")(bytes);
                 },
                 scan_json});
  all.push_back({"JSON: a string", 4 * kMiB, times("\\\\", "\"", "\""), scan_json});
  all.push_back(
      {"record headers", kMiB, numbered("{", "\"\\u0061", "\":\"\\n\",", "\"x\":\"\"}"), [](const std::string& text) {
         static kafka::HeaderReader reader;
         static kafka::RecordHeaders headers;
         reader.read(text, headers);
       }});
}

void add_texts(std::vector<Case>& all) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  const auto hide = [](const std::string& text) { redact(text); };
  for (const char* what : {"\\", "postgres://", "\"postgres://", "postgres://@", "x://", "?token=&", "token ", "\\\""})
    all.push_back({what, kMiB, times(what, "a://"), hide});
  all.push_back({"token='", kMiB, times("\\", "token='"), hide});
  all.push_back({"a JSON string written", kMiB, times("\x01\"\xff"), [](const std::string& text) {
                   std::string out;
                   service::append_escaped(out, text);
                 }});
  all.push_back({"a DSN", kMiB, times(" a=b"), [](const std::string& text) { split_dsn(text); }});
  all.push_back(
      {"a URI as DSN", kMiB, times("a=b&", "postgres://u@h/?"), [](const std::string& text) { split_dsn(text); }});
  all.push_back({"configuration: unknown keys", kMiB, numbered("{", "\"", "\":0,", "\"x\":0}"),
                 [](const std::string& text) { load(text, "f.json", "h"); }});
}

double microseconds(const Case& one, const std::string& text) {
  using clock = std::chrono::steady_clock;
  double best = 1e18;
  const auto end = clock::now() + std::chrono::milliseconds(100);
  do {
    const auto from = clock::now();
    one.read(text);
    best = std::min(best, std::chrono::duration<double, std::micro>(clock::now() - from).count());
  } while (clock::now() < end);
  return best;
}

}  // namespace

int main() {
  std::vector<Case> all;
  add_parsers(all);
  add_texts(all);
  for (const Case& one : all) {
    std::printf("%s\n", one.name);
    double before = 0;
    for (std::size_t bytes = one.most / 16; bytes <= one.most; bytes *= 2) {
      const double took = microseconds(one, one.make(bytes));
      std::printf("  %8zu bytes  %10.1f us", bytes, took);
      std::printf(before > 0 ? "  x %.1f\n" : "\n", took / before);
      before = took;
    }
  }
}
