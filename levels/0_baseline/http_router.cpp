#include "levels/0_baseline/http_router.hpp"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ratchet::http {

namespace {

// The request comes from memory; what httplib would send is of no interest (the handler's page is kept instead).
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view input) : input_(input) {}
  bool is_readable() const override { return !input_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* into, size_t size) override {
    const size_t n = std::min(size, input_.size());
    std::memcpy(into, input_.data(), n);
    input_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char*, size_t size) override { return static_cast<ssize_t>(size); }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  std::string_view input_;
};

struct Pattern {
  std::string regex;
  std::vector<std::string> names;
};

Pattern compile(const std::string& pattern) {
  Pattern compiled;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const size_t end = pattern[i] == '{' ? pattern.find('}', i) : std::string::npos;
    if (end != std::string::npos) {
      compiled.names.push_back(pattern.substr(i + 1, end - i - 1));
      compiled.regex += "([^/]+)";
      i = end;
    } else {
      if (std::strchr(".^$*+?()[]{}|\\", pattern[i]) != nullptr) compiled.regex += '\\';
      compiled.regex += pattern[i];
    }
  }
  return compiled;
}

}  // namespace

Page problem_page(int status, std::string_view title, std::string_view detail) {
  nlohmann::ordered_json body{{"type", "about:blank"}, {"title", title}, {"status", status}};
  if (!detail.empty()) body["detail"] = detail;
  return {status,
          "application/problem+json",
          body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
          {}};
}

class Router::Inside final : public httplib::Server {
 public:
  Inside() {
    set_exception_handler([this](const httplib::Request&, httplib::Response& response, const auto&) {
      keep(response, problem_page(500, "Internal Server Error", ""));
    });
  }

  void add(const std::string& pattern, std::function<Page(const PageRequest&)> handler) {
    Pattern compiled = compile(pattern);
    Get(compiled.regex, [this, names = std::move(compiled.names), handler = std::move(handler)](
                            const httplib::Request& request, httplib::Response& response) {
      PageRequest asked{request.method, request.path, request.body, {}, {}};
      asked.header = [&request](const std::string& name) { return request.get_header_value(name); };
      asked.parameter = [&request, &names](const std::string& name) {
        const auto at = std::find(names.begin(), names.end(), name);
        if (at != names.end()) return request.matches[static_cast<size_t>(at - names.begin()) + 1].str();
        return request.has_param(name) ? request.get_param_value(name) : std::string();
      };
      keep(response, handler(asked));
    });
  }

  Page run(std::string_view raw) {
    page_ = Page();
    kept_ = false;
    bool parsed = false;
    MemoryStream stream(raw);
    process(*this, stream, [&parsed](httplib::Request&) { parsed = true; });
    if (kept_) return std::move(page_);
    if (!parsed) return problem_page(400, "Bad Request", "the request could not be read");
    return problem_page(404, "Not Found", "there is no such page");
  }

 private:
  // Debian 12 has 0.11.4, Debian 13 has 0.18.7: process_request got the addresses in between (0.18.0).
  template <class Server>
  static void process(Server& server, httplib::Stream& stream, const std::function<void(httplib::Request&)>& parsed) {
    bool closed = false;
    if constexpr (requires(const std::string& address) {
                    server.process_request(stream, address, 0, address, 0, true, closed, parsed);
                  }) {
      server.process_request(stream, std::string(), 0, std::string(), 0, true, closed, parsed);
    } else {
      server.process_request(stream, true, closed, parsed);
    }
  }

  void keep(httplib::Response& response, Page page) {
    response.status = page.status;
    page_ = std::move(page);
    kept_ = true;
  }

  Page page_;
  bool kept_ = false;
};

Router::Router() : inside_(std::make_unique<Inside>()) {}
Router::~Router() = default;

void Router::get(const std::string& pattern, std::function<Page(const PageRequest&)> handler) {
  inside_->add(pattern, std::move(handler));
}

Page Router::serve(std::string_view raw) { return inside_->run(raw); }

}  // namespace ratchet::http
