// cpp-httplib as parser and router of pages that are not on the fast path. The only file that includes httplib; the
// differences between Debian 12's and 13's versions are settled here. The sockets and the bytes that go out belong to
// the reactor, so that limits, Connection: close and draining are decided in one place.
//
// httplib sets SIGPIPE to be ignored, for the whole process, whenever a Router is made.
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
  std::string method, path, body;                                         // path: decoded
  std::function<std::string(const std::string& lower_case_name)> header;  // "" if absent
  std::function<std::string(const std::string& name)> parameter;  // of the path, else of the query; "" if absent
};

// An error as application/problem+json (RFC 9457), for pages that have no table of problems of their own.
Page problem_page(int status, std::string_view title, std::string_view detail);

class Router {
 public:
  Router();
  ~Router();

  // `pattern`: a path in which "{name}" stands for one segment. HEAD is answered as GET (the reactor leaves the body
  // out). Not after the first serve().
  void get(const std::string& pattern, std::function<Page(const PageRequest&)> handler);

  // `raw`: exactly one request that http_head has let pass. 404 where no pattern fits; a handler that throws is a 500
  // that says nothing of the exception. Any thread, one at a time.
  Page serve(std::string_view raw);

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::http
