// cpp-httplib as parser, router and serialiser of pages that are not on the fast path. The only file that includes
// httplib; the differences between Debian 12's and 13's versions are settled here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ratchet::http {

struct Page {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct PageRequest {
  std::string method, path, body;
  std::function<std::string(const std::string& lower_case_name)> header;  // "" if absent
  std::function<std::string(const std::string& name)> parameter;          // of the query or of the path
};

class Router {
 public:
  Router();
  ~Router();
  void get(const std::string& pattern, std::function<Page(const PageRequest&)> handler);

  // `raw`: exactly one request that http_head has let pass. Returns the bytes of its response. Any thread, one at a time.
  std::string serve(std::string_view raw, bool close);

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::http
