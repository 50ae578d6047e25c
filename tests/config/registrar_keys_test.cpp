#include "config/registrar_keys.hpp"

#include "tests/config/files.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using ratchet::test::Json;
using ratchet::test::load_with;

namespace {

Loaded load_registrars(const Json& registrars) { return load_with("/service/registrars", registrars); }

const Json kRequest = {{"url", "http://127.0.0.1:8500/x"}};
const Json kAgent = {{"type", "haproxy-agent"}, {"listen", "0.0.0.0:8082"}};
const Json kRuntime = {{"type", "haproxy-runtime"}, {"sockets", {"/run/haproxy.sock", "lb:9999"}}, {"server", "be/s1"}};
const Json kHttp = {{"type", "http"}, {"requests", {{"register", kRequest}, {"deregister", kRequest}}}};
const Json kExec = {{"type", "exec"}, {"argv", {"/bin/tell", "a b", ""}}};

// The pointer of the one mistake.
std::string mistaken(const Json& registrar) {
  const Loaded loaded = load_registrars(Json::array({registrar}));
  CAPTURE(registrar.dump(), to_string(loaded.mistakes));
  CHECK(loaded.mistakes.size() == 1);
  return loaded.mistakes.empty() ? "" : loaded.mistakes.front().pointer;
}

Json with(Json registrar, const std::string& pointer, const Json& value) {
  registrar[Json::json_pointer(pointer)] = value;
  return registrar;
}
Json without(Json registrar, const std::string& key) {
  registrar.erase(key);
  return registrar;
}

}  // namespace

TEST_CASE("registrars: each type takes its keys, names itself after its type, and knows the service's address") {
  const Loaded loaded = load_registrars(Json::array({kAgent, kRuntime, kHttp, kExec, {{"type", "health"}}}));
  CAPTURE(to_string(loaded.mistakes));
  REQUIRE(loaded.settings);
  const auto& all = loaded.settings->service.registrars;
  REQUIRE(all.size() == 5);
  CHECK(all[0].name == "haproxy-agent");
  CHECK(to_string(all[0].listen) == "0.0.0.0:8082");
  CHECK(all[1].sockets == std::vector<std::string>{"/run/haproxy.sock", "lb:9999"});
  CHECK(all[1].server == "be/s1");
  CHECK(all[2].requests.at("register").url == "http://127.0.0.1:8500/x");
  CHECK(to_string(*all[2].address) == "127.0.0.1:8080");
  CHECK(all[3].argv == std::vector<std::string>{"/bin/tell", "a b", ""});
  for (const auto& one : all)
    CHECK(one.name == to_string(one.type));
}

TEST_CASE("registrars: a key of another type, and a missing one, are mistakes at their pointers") {
  CHECK(mistaken(with(kAgent, "/argv", {"/bin/x"})) == "/service/registrars/0/argv");
  CHECK(mistaken(with(kAgent, "/heartbeat_ms", 5000)) == "/service/registrars/0/heartbeat_ms");
  CHECK(mistaken(with(kExec, "/secrets", Json::object())) == "/service/registrars/0/secrets");
  CHECK(mistaken(without(kAgent, "listen")) == "/service/registrars/0/listen");
  CHECK(mistaken(without(kRuntime, "sockets")) == "/service/registrars/0/sockets");
  CHECK(mistaken(without(kRuntime, "server")) == "/service/registrars/0/server");
  CHECK(mistaken(without(kHttp, "requests")) == "/service/registrars/0/requests");
  CHECK(mistaken(without(kExec, "argv")) == "/service/registrars/0/argv");
  CHECK(mistaken(with(kExec, "/typ", "x")) == "/service/registrars/0/typ");
}

TEST_CASE("registrars: what cannot work is refused") {
  const std::string at = "/service/registrars/0";
  CHECK(mistaken(with(kAgent, "/listen", "127.0.0.1:8080")) == at + "/listen");
  CHECK(mistaken(with(kRuntime, "/server", "s1")) == at + "/server");
  CHECK(mistaken(with(kRuntime, "/server", "a/b/c")) == at + "/server");
  CHECK(mistaken(with(kRuntime, "/sockets/1", "lb")) == at + "/sockets/1");
  CHECK(mistaken(with(kHttp, "/requests/register/url", "ftp://x/y")) == at + "/requests/register/url");
  CHECK(mistaken(with(kHttp, "/requests/registr", kRequest)) == at + "/requests/registr");
  CHECK(mistaken(with(kHttp, "/requests/register/ok", {200, 99})) == at + "/requests/register/ok/1");
  CHECK(mistaken(with(kHttp, "/requests/register/headers", {{"a b", "x"}})) == at + "/requests/register/headers/a b");
  CHECK(mistaken(with(kHttp, "/requests/register/headers", {{"A", "x\r\nB: y"}})) ==
        at + "/requests/register/headers/A");
  CHECK(mistaken(with(kHttp, "/requests/register/body", "{secret:none}")) == at + "/requests/register/body");
  CHECK(mistaken(with(kExec, "/argv/0", "tell")) == at + "/argv/0");
  Json half = kHttp;
  half["requests"].erase("deregister");
  CHECK(mistaken(half) == at + "/requests/deregister");
  CHECK(load_registrars(Json::array({kExec, kExec})).mistakes.size() == 1);
  CHECK(load_registrars(Json::array({kExec, with(kExec, "/name", "other")})).settings);
}

TEST_CASE("registrars: nobody can reach 0.0.0.0, so the address must be said there") {
  Json file = ratchet::test::with("/service/listen", "0.0.0.0:8080");
  file["service"]["registrars"] = Json::array({kExec});
  const Loaded loaded = ratchet::test::load(file);
  REQUIRE(loaded.mistakes.size() == 1);
  CHECK(loaded.mistakes.front().pointer == "/service/registrars/0/address");
  file["service"]["registrars"][0]["address"] = "10.0.0.5:8080";
  CHECK(ratchet::test::load(file).settings);
}

TEST_CASE("registrars: a secret is named, a written one is alarmed, and none is ever shown") {
  Json registrar = with(kHttp, "/secrets", {{"token", {{"env", "TOKEN"}}}});
  registrar["requests"]["register"]["headers"] = {{"X-Token", "{secret:token}"}};
  CHECK(load_registrars(Json::array({registrar})).settings);
  registrar["secrets"]["token"] = "hunter2";
  const Loaded inside = load_registrars(Json::array({registrar}));
  REQUIRE(inside.settings);
  REQUIRE(inside.warnings.size() == 1);
  CHECK(inside.warnings.front().pointer == "/service/registrars/0/secrets/token");
  registrar["secrets"]["token"] = 12345;
  CHECK(to_string(load_registrars(Json::array({registrar})).mistakes).find("12345") == std::string::npos);
}
