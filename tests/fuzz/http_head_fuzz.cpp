// The head scanner against cpp-httplib. Where both take a request they must mean the same one: method, target, end of
// the body, header values. And the scanner alone: a request cut anywhere gets the verdict that it gets whole.
#include <httplib.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "levels/0_baseline/http_head.hpp"

namespace {

using ratchet::HttpLimits;
using ratchet::http::Head;
using ratchet::http::Refusal;
using ratchet::http::Scan;

class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view input) : input_(input) {}
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, std::size_t size) override {
    size = input_.copy(to, size);
    input_.remove_prefix(size);
    return static_cast<ssize_t>(size);
  }
  ssize_t write(const char*, std::size_t size) override { return static_cast<ssize_t>(size); }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return 0; }
  std::size_t left() const { return input_.size(); }

 private:
  std::string_view input_;
};

// Takes whatever it can parse and keeps it.
class Peer final : public httplib::Server {
 public:
  Peer() {
    const auto keep = [this](const httplib::Request& request, httplib::Response&) { taken_ = std::make_unique<httplib::Request>(request); };
    Get(".*", keep).Post(".*", keep).Put(".*", keep).Patch(".*", keep).Delete(".*", keep).Options(".*", keep);
  }
  const httplib::Request* ask(MemoryStream& stream) {
    taken_.reset();
    process(*this, stream);
    return taken_.get();
  }

 private:
  // The versions of Debian 12 and 13 differ in the addresses.
  template <class Self>
  static void process(Self& self, MemoryStream& stream) {
    bool closed = false;
    if constexpr (requires { self.process_request(stream, false, closed, nullptr); }) self.process_request(stream, false, closed, nullptr);
    else self.process_request(stream, "", 0, "", 0, false, closed, nullptr);
  }
  std::unique_ptr<httplib::Request> taken_;
};

void must(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n%.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

HttpLimits small_limits() {
  HttpLimits limits;
  limits.request_line_bytes = 200;
  limits.header_bytes = 400;
  limits.headers = 12;
  limits.body_bytes = 300;
  return limits;
}

void compare_headers(const Head& head, const httplib::Request& theirs, std::string_view input) {
  for (std::size_t i = 0; i < head.header_count; ++i) {
    const auto& [name, value] = head.headers[i];
    // It decodes %xx in values and drops headers without a value; its own additions come under these names.
    if (value.empty() || value.find('%') != std::string_view::npos) continue;
    bool found = false;
    const auto range = theirs.headers.equal_range(std::string(name));
    for (auto at = range.first; at != range.second; ++at) found = found || at->second == value;
    must(found, "a header's value differs", input);
  }
}

void compare(const Head& head, std::string_view request, std::string_view input) {
  static Peer peer;
  MemoryStream stream(request);
  const httplib::Request* const theirs = peer.ask(stream);
  if (theirs == nullptr) return;
  must(theirs->method == head.method, "the method differs", input);
  must(theirs->target == head.target, "the target differs", input);
  if (head.target.front() == '/' && head.path.find('%') == std::string_view::npos) {
    must(theirs->path == head.path, "the path differs", input);
  }
  compare_headers(head, *theirs, input);
  if (head.method == "POST" || head.method == "PUT" || head.method == "PATCH") {
    must(stream.left() == 0, "the request's end differs", input);
    const auto type = head.header("content-type").value_or("");
    if (type.substr(0, 19) != "multipart/form-data") must(theirs->body == request.substr(head.head_bytes), "the body differs", input);
  }
}

void cut_anywhere(std::string_view input, std::size_t at, const HttpLimits& limits) {
  static Head whole_head, part_head;
  Refusal whole_refusal, part_refusal;
  const Scan whole = ratchet::http::scan(input, limits, whole_head, whole_refusal);
  const std::string part_input(input.substr(0, at));  // a copy, so that a look beyond its end is seen
  const Scan part = ratchet::http::scan(part_input, limits, part_head, part_refusal);
  if (part == Scan::incomplete) return;
  must(part == whole, "a part is judged differently", input);
  if (part == Scan::complete) must(part_head.head_bytes == whole_head.head_bytes, "a part ends elsewhere", input);
  if (part == Scan::refused) must(part_refusal.status == whole_refusal.status && part_refusal.detail == whole_refusal.detail, "a part is refused differently", input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const HttpLimits usual, small = small_limits();
  static Head head;
  if (size < 2) return 0;
  const std::size_t at = (data[0] | static_cast<std::size_t>(data[1]) << 8U) % size;  // where it is cut
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  Refusal refusal;
  if (ratchet::http::scan(input, usual, head, refusal) == Scan::complete && !head.chunked) {  // chunked bodies: http_chunked_fuzz
    must(head.path.front() == '/', "a path without a slash", input);
    const std::size_t total = head.head_bytes + head.body_bytes;
    const auto begin = static_cast<std::size_t>(head.method.data() - input.data());  // after an empty line
    if (total <= input.size()) {
      const std::string_view request = input.substr(begin, total - begin);
      head.head_bytes -= begin;
      compare(head, request, input);
    }
  }
  cut_anywhere(input, std::min(at, input.size()), usual);
  cut_anywhere(input, std::min(at, input.size()), small);
  return 0;
}
