#include "config/load.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <map>
#include <set>

#include "config/memory_need.hpp"
#include "tests/config/files.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using ratchet::test::Json;
using ratchet::test::load_with;
using ratchet::test::mistake_at;

namespace {

Mistake only_mistake(const Loaded& loaded) {
  CAPTURE(to_string(loaded.mistakes));
  REQUIRE(loaded.mistakes.size() == 1);
  REQUIRE_FALSE(loaded.settings);
  return loaded.mistakes.front();
}

Settings good(const Loaded& loaded) {
  CAPTURE(to_string(loaded.mistakes));
  REQUIRE(loaded.settings);
  return *loaded.settings;
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Json route(const std::string& path) { return {{"kind", "event"}, {"path", path}, {"topic", "orders"}}; }

}  // namespace

TEST_CASE("load: the smallest file is enough") {
  const Loaded loaded = test::load(test::smallest());
  const Settings s = good(loaded);
  CHECK(loaded.warnings.empty());
  CHECK(s.instance == "host-1");
  REQUIRE(s.pools.size() == 1);
  CHECK(s.pools.at("main").name == "main");
  CHECK(s.pools.at("main").dsn == "host=127.0.0.1 port=5432 dbname=app user=ratchetd");
  CHECK_FALSE(s.pools.at("main").password);
  CHECK(s.broker.bootstrap == std::vector<std::string>{"127.0.0.1:9092"});
  REQUIRE(s.routes.size() == 1);
  CHECK(s.routes[0].path == "/events/orders");
  CHECK(s.routes[0].type == "orders");
  CHECK(s.routes[0].source == "/ratchetd/events/orders");
  CHECK_FALSE(s.routes[0].key);
  CHECK(to_string(s.service.listen) == "127.0.0.1:8080");
  CHECK_FALSE(s.service.drain.lb_wait);
}

TEST_CASE("load: the instance is the hostname by default") {
  std::array<char, 256> name{};
  REQUIRE(::gethostname(name.data(), name.size() - 1) == 0);
  CHECK(good(load(test::shipped("smallest.json"), "f")).instance == name.data());
  CHECK(good(load_with("/instance", "orders-1")).instance == "orders-1");
}

TEST_CASE("load: the full example means what it says") {
  const Loaded loaded = load_file(RATCHET_SOURCE_DIR "/config/ratchetd.json");
  const Settings s = good(loaded);
  CHECK(loaded.warnings.empty());
  CHECK(s.instance == "orders-1");
  CHECK(s.ops.control == "/run/ratchetd/control.sock");
  REQUIRE(s.pools.at("main").password);
  CHECK(s.pools.at("main").password->kind() == Secret::Kind::file);
  CHECK(s.pools.at("main").password->source() == "/etc/ratchetd/credentials/pg-main");
  CHECK(s.broker.properties.at("compression.type") == "lz4");
  REQUIRE(s.routes.size() == 2);
  CHECK(s.routes[0].type == "order.placed");
  CHECK(s.routes[0].source == "/shop/orders");
  REQUIRE(s.routes[0].key);
  CHECK(s.routes[0].key->path == std::vector<std::string>{"customer"});
  CHECK(s.routes[1].key->from == Reference::From::header);
  CHECK(s.routes[1].key->name == "x-customer");
}

TEST_CASE("load: values reach their fields") {
  Json json = test::full();
  json["service"]["drain"] = {{"code", 404},  {"total_ms", 9000}, {"lb_wait", 1500},
                              {"late_ms", 1}, {"requests_ms", 2}, {"flush_ms", 3}};
  json["log"] = {{"format", "json"}, {"level", "debug"}, {"access", true}};
  json["database"]["pools"]["main"]["lifetime_s"] = 77;
  json["outbox"]["max_bytes"] = 5'000'000'000;
  json["routes"][0]["enabled"] = false;
  json["database"]["pools"]["main"]["vital"] = {{"exit_after_s", 60}};
  json["broker"]["vital"] = {{"exit_after_s", 3600}};
  const Settings s = good(test::load(json));
  CHECK(s.service.drain.code == 404);
  CHECK(s.service.drain.total == milliseconds{9000});
  CHECK(s.service.drain.lb_wait == milliseconds{1500});
  CHECK(s.service.drain.flush == milliseconds{3});
  CHECK(s.log.format == LogFormat::json);
  CHECK(s.log.level == 7);
  CHECK(s.log.access);
  CHECK(s.pools.at("main").lifetime == seconds{77});
  CHECK(s.outbox.max_bytes == 5'000'000'000U);
  CHECK_FALSE(s.routes[0].enabled);
  CHECK(s.pools.at("main").vital == seconds{60});
  CHECK(s.broker.vital == seconds{3600});
  CHECK(good(test::load(test::smallest())).broker.vital == seconds{0});
  CHECK(good(load_with("/service/drain/lb_wait", "none")).service.drain.lb_wait == milliseconds{0});
  CHECK(good(load_with("/log/level", "error")).log.level == 3);
  CHECK(good(load_with("/service/listen", "[0:0::1]:80")).service.listen.host == "::1");
}

TEST_CASE("load: a pool that is not required cannot be vital") {
  Json json = test::smallest();
  json["database"]["pools"].begin().value()["outbox"] = true;
  json["database"]["pools"]["spare"] = {
      {"dsn", "host=b"}, {"required", false}, {"outbox", false}, {"vital", {{"exit_after_s", 60}}}};
  const Loaded loaded = test::load(json);
  REQUIRE(loaded.mistakes.size() == 1);
  CHECK(loaded.mistakes.front().pointer == "/database/pools/spare/vital/exit_after_s");
}

TEST_CASE("load: five mistakes give five pointers at once, each with its line") {
  const std::string text = R"({
  "database": { "pools": { "main": {
    "dsn": "host=a",
    "siez": 8,
    "lease_wait_ms": "1000"
  } } },
  "broker": { "bootstrap": ["kafka"] },
  "service": { "listen": "localhost:80" },
  "routes": [
    { "kind": "event", "path": "/a", "topic": "no such topic" }
  ]
})";
  const Loaded loaded = load(text, "/etc/x.json");
  CHECK_FALSE(loaded.settings);
  std::map<std::string, std::size_t> lines;
  for (const Mistake& m : loaded.mistakes) {
    lines[m.pointer] = m.line;
    CHECK(m.file == "/etc/x.json");
    CHECK_FALSE(m.found.empty());
    CHECK_FALSE(m.expected.empty());
  }
  const std::map<std::string, std::size_t> expected = {{"/database/pools/main/siez", 4},
                                                       {"/database/pools/main/lease_wait_ms", 5},
                                                       {"/broker/bootstrap/0", 7},
                                                       {"/service/listen", 8},
                                                       {"/routes/0/topic", 10}};
  CHECK(lines == expected);
  CHECK(loaded.mistakes.size() == 5);
  CHECK(
      says(to_string(loaded.mistakes),
           "/etc/x.json:5: /database/pools/main/lease_wait_ms: found: string \"1000\", expected: integer 1..60000\n"));
  CHECK(says(to_string(loaded.mistakes), "did you mean size?\n"));
}

TEST_CASE("load: what is missing is named where it should be") {
  const Loaded loaded = load("{}", "f");
  std::set<std::string> pointers;
  for (const Mistake& m : loaded.mistakes) {
    pointers.insert(m.pointer);
    CHECK(m.found == "nothing");
  }
  CHECK(pointers == std::set<std::string>{"/database", "/broker", "/routes"});
  Json no_topic = test::smallest();
  no_topic["routes"][0].erase("topic");
  CHECK(only_mistake(test::load(no_topic)).pointer == "/routes/0/topic");
  CHECK(only_mistake(load_with("/routes", Json::array())).pointer == "/routes");
  CHECK(only_mistake(load_with("/broker/bootstrap", Json::array())).pointer == "/broker/bootstrap");
  CHECK(only_mistake(load_with("/database/pools", Json::object())).pointer == "/database/pools");
}

TEST_CASE("load: unknown keys are mistakes, with the nearest name") {
  const auto meant = [](const std::string& pointer) {
    const Loaded loaded = load_with(pointer, 1);
    const auto m = mistake_at(loaded, pointer);
    REQUIRE(m);
    CHECK(m->found == "unknown key");
    return m->did_you_mean;
  };
  CHECK(meant("/databse") == "database");
  CHECK(meant("/service/limits/idle") == "idle_ms");
  CHECK(meant("/service/limits/idel_ms") == "idle_ms");
  CHECK(meant("/routes/0/Topic") == "topic");
  CHECK(meant("/service/body_bytes") == "/service/limits/body_bytes");
  CHECK(meant("/zzz").empty());
  CHECK(only_mistake(load_with("/log/level", "warn")).did_you_mean == "warning");
  CHECK(only_mistake(load_with("/service/drain/lb_wait", "atuo")).did_you_mean == "auto");
  CHECK(load_with("/a~1b~0c", 1).mistakes.front().pointer == "/a~1b~0c");
}

TEST_CASE("load: what this version does not have is refused, never ignored") {
  const auto refused = [](const std::string& pointer, const Json& value) {
    const Loaded loaded = load_with(pointer, value);
    CAPTURE(pointer, to_string(loaded.mistakes));
    REQUIRE(loaded.mistakes.size() == 1);
    CHECK(loaded.mistakes.front().pointer.rfind(pointer, 0) == 0);
    CHECK(says(to_string(loaded.mistakes), "not supported"));
  };
  refused("/routes/0/kind", "command");
  refused("/routes/0/kind", "query");
  refused("/routes/0/auth", {{"bearer", "x"}});
  refused("/routes/0/path", "/orders/{id}");
  refused("/routes/0/key", ":row.id");
  refused("/routes/0/type", ":header.x-type");
  good(load_with("/service/registrars", Json::array()));
  good(load_with("/broker/on_loss", "ride"));
  good(load_with("/service/registrars", Json::array({{{"type", "health"}}})));
  good(load_with("/database/pools/main/outbox", true));
}

TEST_CASE("load: which pools are outboxes, and which of them a route uses") {
  const auto with = [](const Json& pools, const Json& pool = nullptr) {
    Json json = test::smallest();
    for (const auto& [name, settings] : pools.items()) {
      json["database"]["pools"][name]["dsn"] = "host=" + name;
      json["database"]["pools"][name].update(settings);
    }
    if (!pool.is_null()) json["routes"][0]["pool"] = pool;
    return test::load(json);
  };
  const auto wrong = [&](const Json& pools, const Json& pool, const std::string& pointer, const std::string& found) {
    const Mistake m = only_mistake(with(pools, pool));
    CHECK(m.pointer == pointer);
    CHECK(m.found == found);
    return m;
  };
  using Names = std::vector<std::string>;

  SECTION("the only primary is one unless it says otherwise") {
    const Settings s = good(with({{"read", {{"role", "replica"}, {"required", false}}}}));
    CHECK(s.pools.at("main").role == PoolRole::primary);
    CHECK(s.pools.at("main").required);
    CHECK(s.pools.at("main").is_outbox());
    CHECK(s.pools.at("read").role == PoolRole::replica);
    CHECK_FALSE(s.pools.at("read").required);
    CHECK_FALSE(s.pools.at("read").is_outbox());
    CHECK(s.routes[0].pools == Names{"main"});
    CHECK(wrong({{"main", {{"outbox", false}}}}, nullptr, "/database/pools", "no outbox pool").line > 0);
  }
  SECTION("of several it must be said") {
    CHECK(with({{"b", Json::object()}}).mistakes.size() == 2);
    wrong({{"main", {{"outbox", true}}}, {"b", Json::object()}}, nullptr, "/database/pools/b/outbox", "nothing");
    const Settings s = good(with({{"main", {{"outbox", true}}}, {"b", {{"outbox", false}}}}));
    CHECK(s.routes[0].pools == Names{"main"});
  }
  SECTION("of several outboxes the routes say which") {
    const Json two = {{"main", {{"outbox", true}}}, {"b", {{"outbox", true}, {"required", false}}}};
    wrong(two, nullptr, "/routes/0/pool", "nothing");
    CHECK(good(with(two, "b")).routes[0].pools == Names{"b"});
    CHECK(good(with(two, {"main", "b"})).routes[0].pools == Names{"main", "b"});
    CHECK(wrong(two, "mian", "/routes/0/pool", "unknown pool \"mian\"").did_you_mean == "main");
    wrong(two, {"main", "c"}, "/routes/0/pool/1", "unknown pool \"c\"");
    wrong(two, {"b", "b"}, "/routes/0/pool/1", "pool \"b\" a second time");
    wrong(two, {"b", 3}, "/routes/0/pool/1", "integer 3");
    wrong(two, Json::array(), "/routes/0/pool", "0 names");
    wrong(two, true, "/routes/0/pool", "true");
  }
  SECTION("a replica is none, and no route may use it") {
    wrong({{"read", {{"role", "replica"}, {"outbox", true}}}}, nullptr, "/database/pools/read/outbox", "true");
    wrong({{"read", {{"role", "replica"}}}}, "read", "/routes/0/pool", "pool \"read\", which is no outbox");
  }
  SECTION("some pool is required") {
    wrong({{"main", {{"required", false}}}}, nullptr, "/database/pools", "no required pool");
  }
  SECTION("only an outbox needs room for committers") {
    good(with({{"read", {{"role", "replica"}, {"size", 3}}}, {"main", {{"size", 3}}}}));
    Json json = test::smallest();
    json["outbox"]["committers"] = 4;
    json["database"]["pools"]["read"] = {{"dsn", "host=r"}, {"role", "replica"}, {"size", 3}};
    good(test::load(json));
  }
}

TEST_CASE("load: a route of a later kind is one mistake, not one per key") {
  Json json = test::smallest();
  json["routes"].push_back({{"kind", "command"}, {"path", "/o"}, {"sql", {"select 1"}}, {"emit", Json::array()}});
  CHECK(only_mistake(test::load(json)).pointer == "/routes/1/kind");
}

TEST_CASE("load: paths of routes") {
  for (const char* own : {"/live", "/ready", "/health"})
    CHECK(says(only_mistake(load_with("/routes/0/path", own)).found, "own"));
  Json twice = test::smallest();
  twice["routes"].push_back(route("/other"));
  twice["routes"].push_back(route("/events/orders"));
  CHECK(only_mistake(test::load(twice)).pointer == "/routes/2/path");
}

TEST_CASE("load: the service may listen on a unix socket, the ops side may not") {
  const Settings s = good(load_with("/service/listen", "unix:/run/ratchetd/http.sock"));
  CHECK(s.service.listen.path == "/run/ratchetd/http.sock");
  CHECK_FALSE(s.service.proxy_protocol);
  CHECK(s.service.trusted_proxies.empty());
  const Mistake bad = only_mistake(load_with("/service/listen", "unix:http.sock"));
  CHECK(bad.pointer == "/service/listen");
  CHECK(bad.expected.find("absolute path") != std::string::npos);
  CHECK(only_mistake(load_with("/ops/listen", "unix:/run/ratchetd/ops.sock")).pointer == "/ops/listen");
}

TEST_CASE("load: trusted proxies are networks, each mistake with its own pointer") {
  CHECK(good(load_with("/service/proxy_protocol", true)).service.proxy_protocol);
  const Json list = Json::array({"10.0.0.0/8", "::1"});
  CHECK(good(load_with("/service/trusted_proxies", list)).service.trusted_proxies == std::vector<std::string>{"10.0.0.0/8", "::1"});
  const Loaded loaded = load_with("/service/trusted_proxies", Json::array({"10.0.0.0/8", "10.0.0.1/8", "proxy.example", 7}));
  REQUIRE(loaded.mistakes.size() == 3);
  CHECK(loaded.mistakes[0].pointer == "/service/trusted_proxies/1");
  CHECK(loaded.mistakes[1].pointer == "/service/trusted_proxies/2");
  CHECK(loaded.mistakes[2].pointer == "/service/trusted_proxies/3");
  CHECK(only_mistake(load_with("/service/trusted_proxies", Json::array({"unix:"}))).pointer == "/service/trusted_proxies/0");
  Json json = test::smallest();
  json["service"] = {{"listen", "unix:/run/http.sock"}, {"trusted_proxies", {"unix:"}}};
  good(test::load(json));
}

TEST_CASE("load: balancers are this machine and the trusted proxies, or what is written, also if that is nobody") {
  const auto balancers = [](const Json& service) {
    Json json = test::smallest();
    json["service"] = service;
    return balancers_of(good(test::load(json)).service);
  };
  using Texts = std::vector<std::string>;
  CHECK(balancers(Json::object()) == Texts{"127.0.0.0/8", "::1"});
  CHECK(balancers({{"trusted_proxies", {"10.0.0.2"}}}) == Texts{"127.0.0.0/8", "::1", "10.0.0.2"});
  CHECK(balancers({{"listen", "unix:/run/http.sock"}}) == Texts{"127.0.0.0/8", "::1", "unix:"});
  CHECK(balancers({{"balancers", Json::array()}, {"trusted_proxies", {"10.0.0.2"}}}).empty());
  CHECK(balancers({{"balancers", {"10.0.0.2", "2001:db8::/32"}}}) == Texts{"10.0.0.2", "2001:db8::/32"});
  CHECK(only_mistake(load_with("/service/balancers", Json::array({"10.0.0.1/8"}))).pointer == "/service/balancers/0");
  CHECK(only_mistake(load_with("/service/balancers", Json::array({"10.0.0.1", "unix:"}))).pointer == "/service/balancers/1");
  CHECK(only_mistake(load_with("/service/balancers", "10.0.0.1")).pointer == "/service/balancers");
}

TEST_CASE("load: the probe secret is named like any other") {
  const Settings s = good(load_with("/service/probe_secret", {{"file", "/etc/ratchetd/credentials/probe"}}));
  CHECK(s.service.probe_secret == Secret(Secret::Kind::file, "/etc/ratchetd/credentials/probe"));
  const Loaded written = load_with("/service/probe_secret", "open-sesame");
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].id == "secret.inline");
  CHECK_FALSE(good(test::load(test::smallest())).service.probe_secret);
}

TEST_CASE("load: two listeners need two addresses") {
  const auto both = [](const char* service, const char* ops) {
    Json json = test::smallest();
    json["service"]["listen"] = service;
    json["ops"]["listen"] = ops;
    return test::load(json);
  };
  CHECK(only_mistake(both("127.0.0.1:9", "127.0.0.1:9")).pointer == "/ops/listen");
  CHECK(only_mistake(both("0.0.0.0:9", "127.0.0.1:9")).pointer == "/ops/listen");
  CHECK(only_mistake(both("[::]:9", "127.0.0.1:9")).pointer == "/ops/listen");
  CHECK(only_mistake(both("[::1]:9", "[0::1]:9")).pointer == "/ops/listen");
  good(both("127.0.0.1:9", "127.0.0.2:9"));
  good(both("127.0.0.1:9", "127.0.0.1:10"));
  CHECK(only_mistake(load_with("/ops/listen", "127.0.0.1:8080")).pointer == "/ops/listen");
}

TEST_CASE("load: the drain's budget holds its stages") {
  CHECK(only_mistake(load_with("/service/drain/total_ms", 25'999)).expected ==
        "at least 26000: late_ms 1000 + requests_ms 20000 + flush_ms 5000");
  good(load_with("/service/drain/total_ms", 26'000));
  CHECK(only_mistake(load_with("/service/drain/lb_wait", 14'001)).pointer == "/service/drain/total_ms");
  good(load_with("/service/drain/lb_wait", 14'000));
  const Loaded once = load_with("/service/drain", {{"total_ms", 1000}, {"late_ms", "x"}});
  CHECK(only_mistake(once).pointer == "/service/drain/late_ms");
}

TEST_CASE("load: sizes fit together") {
  CHECK(only_mistake(load_with("/outbox/committers", 7)).pointer == "/database/pools/main/size");
  good(load_with("/outbox/committers", 6));
  Json json = test::with("/outbox/queue_bytes", 65'536);
  CHECK(only_mistake(test::load(json)).pointer == "/outbox/queue_bytes");
  json["service"]["limits"]["body_bytes"] = 65'536;
  good(test::load(json));
  json = test::with("/service/limits/buffer_bytes", 1'000'000);
  const Mistake buffers = only_mistake(test::load(json));
  CHECK(buffers.pointer == "/service/limits/buffer_bytes");
  CHECK(buffers.expected == "at least 1204224: request_line_bytes, header_bytes, body_bytes and 128 KiB");
  json["service"]["limits"]["buffer_bytes"] = 1'204'224;
  good(test::load(json));
}

TEST_CASE("load: what memory a configuration allows is the sum of its bounds") {
  Settings settings = *test::load(test::with("/service/limits/buffer_bytes", 32 * kMiB)).settings;
  CHECK(memory_need(settings).total() == (32 + 8 + 64 + 128) * kMiB);
  CHECK(to_string(memory_need(settings)) ==
        "memory: up to 232 MiB (40 MiB of unfinished requests and answers, 64 MiB of commit queues, 128 MiB for the "
        "rest); MemoryMax= or the container's limit must hold it");
  settings.pools.begin()->second.outbox = false;
  CHECK(memory_need(settings).total() == (32 + 8 + 128) * kMiB);
}

TEST_CASE("load: secrets are named; written ones work and are warned of") {
  const auto password = [](const Json& value) { return load_with("/database/pools/main/password", value); };
  CHECK(good(password({{"credential", "pg"}})).pools.at("main").password->kind() == Secret::Kind::credential);
  CHECK(good(password({{"env", "PGPASS_1"}})).pools.at("main").password->source() == "PGPASS_1");
  CHECK(good(password({{"file", "/not/there/yet"}})).pools.at("main").password->kind() == Secret::Kind::file);

  const Loaded written = password("geheim");
  CHECK(good(written).pools.at("main").password->read().text == "geheim");
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].id == "secret.inline");
  CHECK(written.warnings[0].pointer == "/database/pools/main/password");
  CHECK_FALSE(says(written.warnings[0].text, "geheim"));

  CHECK(only_mistake(password({{"fiel", "/x"}})).did_you_mean == "file");
  CHECK(only_mistake(password({{"file", "x"}})).pointer == "/database/pools/main/password/file");
  CHECK(only_mistake(password({{"credential", "../x"}})).pointer == "/database/pools/main/password/credential");
  CHECK(only_mistake(password({{"env", "a-b"}})).pointer == "/database/pools/main/password/env");
  only_mistake(password({{"env", "A"}, {"file", "/x"}}));
  only_mistake(password(Json::object()));
  only_mistake(password(""));
  only_mistake(password(5));
}

TEST_CASE("load: a password in the DSN works, is lifted out and warned of") {
  for (const char* dsn : {"host=a password=geheim user=u", "postgresql://u:geheim@a/db"}) {
    const Loaded loaded = load_with("/database/pools/main/dsn", dsn);
    const Settings s = good(loaded);
    CHECK_FALSE(says(s.pools.at("main").dsn, "geheim"));
    CHECK(s.pools.at("main").password->read().text == "geheim");
    REQUIRE(loaded.warnings.size() == 1);
    CHECK(loaded.warnings[0].id == "secret.inline");
    CHECK(loaded.warnings[0].pointer == "/database/pools/main/dsn");
  }
  for (const bool dsn_first : {true, false}) {
    Json json = test::smallest();
    Json& pool = json["database"]["pools"]["main"];
    pool = Json::object();
    if (!dsn_first) pool["password"] = {{"file", "/x"}};
    pool["dsn"] = "host=a password=geheim";
    if (dsn_first) pool["password"] = {{"file", "/x"}};
    CHECK(says(only_mistake(test::load(json)).found, "a second password"));
  }
}

TEST_CASE("load: no mistake shows a secret") {
  const char* const secret = "geheim";
  Json json = test::smallest();
  json["database"]["pools"]["main"]["dsn"] = std::string("host=a password='") + secret;
  json["database"]["pools"]["main"]["passwort"] = secret;
  json["broker"]["properties"] = {{"sasl.password", {{"fil", secret}}}, {"SASL.password", secret}};
  json["service"]["listen"] = std::string("postgres://u:") + secret + "@h";
  const Loaded loaded = test::load(json);
  CHECK(loaded.mistakes.size() == 5);
  CHECK_FALSE(says(to_string(loaded.mistakes), secret));
  CHECK_FALSE(says(to_string(load(std::string("{\"password\": ") + secret, "f").mistakes), secret));
}

TEST_CASE("load: broker properties are strings or secrets") {
  const auto properties = [](const Json& value) { return load_with("/broker/properties", value); };
  const Settings s =
      good(properties({{"security.protocol", "SASL_SSL"}, {"sasl.password", {{"file", "/x"}}}, {"debug", "broker"}}));
  CHECK(s.broker.properties.size() == 2);
  CHECK(s.broker.secret_properties.at("sasl.password").kind() == Secret::Kind::file);
  const Loaded written = properties({{"sasl.password", "geheim"}});
  CHECK(good(written).broker.secret_properties.at("sasl.password").read().text == "geheim");
  CHECK(good(written).broker.properties.empty());
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].pointer == "/broker/properties/sasl.password");
  CHECK(only_mistake(properties({{"batch.size", 5}})).did_you_mean == "\"5\"");
  only_mistake(properties({{"batch size", "5"}}));
  only_mistake(properties({{"batch.size", nullptr}}));
}

TEST_CASE("load: a constant key that looks like a reference is a mistake") {
  CHECK(only_mistake(load_with("/routes/0/key", "body.customer")).did_you_mean == ":body.customer");
  CHECK(good(load_with("/routes/0/key", "all")).routes[0].key->from == Reference::From::literal);
}

TEST_CASE("load: integers that do not fit an int are out of range, not bent") {
  CHECK(only_mistake(load_with("/database/pools/main/size", 4'294'967'299)).found == "integer 4294967299");
  CHECK(only_mistake(load_with("/database/pools/main/size", 8.0)).found == "number 8.0");
}

TEST_CASE("load: what is no JSON is one mistake, with its place") {
  const Loaded loaded = load("{\n  \"a\": ,\n}", "f.json");
  const Mistake m = only_mistake(loaded);
  CHECK(m.line == 2);
  CHECK(m.pointer.empty());
  CHECK(says(to_string(m), "f.json:2: found: syntax error"));
  CHECK(says(m.found, "column 8"));
  CHECK(says(only_mistake(load(R"({"broker": {}, "broker": {}})", "f")).found, "a key twice"));
  CHECK(only_mistake(load("[]", "f")).expected == "object");
}

TEST_CASE("load: a file that cannot be read is a mistake") {
  CHECK(only_mistake(load_file("/nowhere/at/all.json")).found == "No such file or directory");
  CHECK(only_mistake(load_file("/")).found == "Is a directory");
}

TEST_CASE("load: a file of nothing but mistakes is answered soon") {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i)
    text += "\"key_number_" + std::to_string(i) + "\": 1,\n";
  const auto start = std::chrono::steady_clock::now();
  const Loaded loaded = load(text + "\"last\": 1}", "f");
  CHECK(loaded.mistakes.size() == 1000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
