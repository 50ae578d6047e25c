#include "levels/0_baseline/http_router.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/catch.hpp"

using namespace ratchet::http;

namespace {

std::string get(const std::string& target, const std::string& headers = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
}

}  // namespace

TEST_CASE("router: a page is found by its path and read with GET or HEAD") {
  Router router;
  router.get("/levels", [](const PageRequest& request) {
    return Page{200, "text/plain", request.method + " " + request.path + " " + request.header("x-thing"), {{"A", "b"}}};
  });
  const Page page = router.serve(get("/levels?x=1", "X-Thing: 7\r\n"));
  CHECK(page.status == 200);
  CHECK(page.content_type == "text/plain");
  CHECK(page.body == "GET /levels 7");
  REQUIRE(page.headers.size() == 1);
  CHECK(router.serve("HEAD /levels HTTP/1.1\r\nHost: x\r\n\r\n").body == "HEAD /levels ");
}

TEST_CASE("router: what is not there is a problem, and leaves nothing of the page before") {
  Router router;
  router.get("/a.b", [](const PageRequest&) { return Page{200, "text/plain", "found", {}}; });
  CHECK(router.serve(get("/a.b")).body == "found");
  for (const char* other : {"/axb", "/a.b/", "/a.bc", "/", "/a"}) {
    const Page page = router.serve(get(other));
    CHECK(page.status == 404);
    CHECK(page.content_type == "application/problem+json");
    CHECK(nlohmann::json::parse(page.body)["status"] == 404);
  }
  CHECK(router.serve("nonsense\r\n\r\n").status == 400);
  CHECK(router.serve("").status == 400);
}

TEST_CASE("router: parameters come from the path, else from the query, decoded") {
  Router router;
  router.get("/orders/{id}/lines/{line}", [](const PageRequest& request) {
    return Page{200,
                "text/plain",
                request.parameter("id") + "|" + request.parameter("line") + "|" + request.parameter("q") + "|" +
                    request.parameter("absent"),
                {}};
  });
  CHECK(router.serve(get("/orders/7%208/lines/2?q=a%26b&id=no")).body == "7 8|2|a&b|");
  CHECK(router.serve(get("/orders//lines/2")).status == 404);
}

TEST_CASE("router: a handler that throws is a 500 without a word of the exception") {
  Router router;
  router.get("/", [](const PageRequest&) -> Page { throw std::runtime_error("password=abc"); });
  const Page page = router.serve(get("/"));
  CHECK(page.status == 500);
  CHECK(page.body.find("abc") == std::string::npos);
  CHECK(page.headers.empty());
}
