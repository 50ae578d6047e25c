#include "levels/3_service/event_route.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "levels/3_service/waiting.hpp"
#include "tests/levels/3_service/heads.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/made_random.hpp"
#include "tests/support/manual_time.hpp"

namespace {

using namespace ratchet;
using nlohmann::json;
using service::EventReader;
using service::PreparedEvent;
using service::Problem;
using tests::MadeRequest;
using From = Reference::From;

constexpr std::string_view kJson = "Content-Type: application/json";

EventRoute route_with(std::optional<Reference> key = std::nullopt) {
  EventRoute route;
  route.path = "/events/orders";
  route.topic = "orders";
  route.key = std::move(key);
  route.type = "order \"created\"";
  route.source = "/ratchetd/events/orders";
  return route;
}

Reference body(std::vector<std::string> path) { return {From::body, "", std::move(path)}; }

struct World {
  explicit World(const JsonLimits& most = {}) : reader(time, limits, random, most) { limits.set({}, 1'000'000); }
  std::optional<Problem> read(EventRoute of, const MadeRequest& request) {
    route = std::move(of);  // the event has views into it
    return reader.read(route, request.request(), event);
  }
  tests::ManualTime time;
  kafka::RecordLimits limits;
  EventRoute route;
  tests::MadeRandom random;
  EventReader reader;
  PreparedEvent event;
};

}  // namespace

TEST_CASE("event_route: plain JSON becomes an event with the attributes of its route") {
  World world;
  const std::string text = " {\"customer\" : \"c-1\", \"total\": 1.50}\n";
  const MadeRequest request("/events/orders", {"Content-Type: application/json; charset=utf-8"}, text);
  REQUIRE_FALSE(world.read(route_with(body({"customer"})), request));
  const auto& event = world.event.event;
  CHECK(event.topic == "orders");
  CHECK(event.key == "c-1");
  CHECK(event.payload == text);
  CHECK_FALSE(event.idempotency);
  const auto headers = json::parse(event.headers);
  CHECK(headers.size() == 7);
  CHECK(headers["ce_specversion"] == "1.0");
  CHECK(headers["ce_source"] == "/ratchetd/events/orders");
  CHECK(headers["ce_type"] == "order \"created\"");
  CHECK(headers["content-type"] == "application/json; charset=utf-8");
  CHECK(service::is_rfc3339(headers["ce_time"].get<std::string>()));
  CHECK(service::is_trace_parent(headers["traceparent"].get<std::string>()));
  CHECK(headers["traceparent"].get<std::string>().substr(3, 32) == world.event.trace_id);
  CHECK(json::parse(event.reply) == json{{"id", headers["ce_id"]}});
}

TEST_CASE("event_route: a CloudEvent keeps its attributes, its bytes and its trace") {
  World world;
  const std::string bytes("\x00\xff not \"JSON\"", 13);
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const std::string trace_line = "traceparent: " + trace;
  const MadeRequest request(
      "/events/orders",
      {"ce-specversion: 1.0", "ce-id: %22id%22", "ce-source: /s", "ce-type: t", "ce-time: 2026-11-21T12:00:00Z",
       "ce-partitionkey: p", "Content-Type: application/octet-stream", trace_line},
      bytes);
  REQUIRE_FALSE(world.read(route_with(), request));
  const auto& event = world.event.event;
  CHECK(event.payload == bytes);
  CHECK_FALSE(event.key);
  CHECK(json::parse(event.headers) == json{{"ce_specversion", "1.0"},
                                           {"ce_id", "\"id\""},
                                           {"ce_source", "/s"},
                                           {"ce_type", "t"},
                                           {"ce_time", "2026-11-21T12:00:00Z"},
                                           {"ce_partitionkey", "p"},
                                           {"content-type", "application/octet-stream"},
                                           {"traceparent", trace}});
  CHECK(event.reply == R"({"id":"\"id\""})");
  CHECK(event.idempotency == db::idempotency_id("/events/orders", "", "/s", "\"id\""));
  const db::Content::Attribute attributes[] = {{"partitionkey", "p"}};
  CHECK(event.fingerprint == db::view(db::fingerprint({"POST", "/events/orders", "orders", std::nullopt, bytes, "t",
                                                       "application/octet-stream", attributes})));
}

TEST_CASE("event_route: the key is what the request says, as it says it") {
  World world;
  const auto key_of = [&](const Reference& from, const std::string& text, const std::string& target = "/events/orders",
                          std::string_view header = "x-y: z") {
    const MadeRequest request(target, {kJson, header}, text);
    const auto problem = world.read(route_with(from), request);
    INFO((problem ? problem->detail : std::string()));
    REQUIRE_FALSE(problem);
    REQUIRE(world.event.event.key);
    return std::string(*world.event.event.key);
  };
  CHECK(key_of(body({"a"}), R"({"a":"\u00e4\n\ud83d\ude00"})") == "ä\n😀");
  CHECK(key_of(body({"ключ"}), R"({"ключ":"значение"})") == "значение");
  CHECK(key_of(body({"a"}), R"({"a":1.0})") == "1.0");
  CHECK(key_of(body({"a"}), R"({"a":12345678901234567890})") == "12345678901234567890");
  CHECK(key_of(body({"a"}), R"({"a":true})") == "true");
  CHECK(key_of(body({"a"}), R"({"a":""})").empty());
  CHECK(key_of(body({"a", "b"}), R"({"a":{"b":"deep"}})") == "deep");
  CHECK(key_of({From::literal, "fixed", {}}, "{}") == "fixed");
  CHECK(key_of({From::header, "x-tenant", {}}, "{}", "/events/orders", "X-Tenant: t 1") == "t 1");
  CHECK(key_of({From::query, "k", {}}, "{}", "/events/orders?x=1&k=a%2Fb+c&kk=2&%zz=1&k%zz=1") == "a/b c");
  CHECK(key_of({From::query, "k", {}}, "{}", "/events/orders?%6b=1") == "1");
  CHECK(key_of({From::query, "k", {}}, "{}", "/events/orders?k").empty());
}

TEST_CASE("event_route: without a usable key it is 422, and the field is named") {
  World world;
  const auto why = [&](const Reference& from, const std::string& text, const std::string& target = "/events/orders") {
    const MadeRequest request(target, {kJson}, text);
    const auto problem = world.read(route_with(from), request);
    REQUIRE(problem);
    CHECK(problem->status == 422);
    CHECK(problem->type == "key-missing");
    return problem->detail;
  };
  CHECK(why(body({"a", "b"}), R"({"a":1})") == "the key is taken from :body.a.b, which is missing");
  CHECK(why(body({"a"}), R"({"a":null})") == "the key is taken from :body.a, which is null");
  CHECK(why(body({"a"}), R"({"a":{}})") == "the key is taken from :body.a, which is an object");
  CHECK(why(body({"a"}), R"({"a":[1]})") == "the key is taken from :body.a, which is an array");
  CHECK(why(body({"a"}), R"("a")") == "the key is taken from :body.a, which is missing");
  CHECK(why({From::header, "x-tenant", {}}, "{}") == "the key is taken from :header.x-tenant, which is missing");
  CHECK(why({From::query, "k", {}}, "{}", "/events/orders?x=k") == "the key is taken from :query.k, which is missing");
}

TEST_CASE("event_route: a key that is malformed, or there twice, is 400 in its own words") {
  World world;
  const auto why = [&](const Reference& from, const std::string& target,
                       std::initializer_list<std::string_view> lines = {}) {
    std::vector<std::string_view> all{kJson};
    all.insert(all.end(), lines.begin(), lines.end());
    const MadeRequest request(target, all);
    const auto problem = world.read(route_with(from), request);
    REQUIRE(problem);
    CHECK(problem->status == 400);
    CHECK(problem->type == "key-invalid");
    return problem->detail;
  };
  const Reference query{From::query, "k", {}}, header{From::header, "x-tenant", {}};
  for (const char* value : {"%zz", "%", "%4", "a%4", "%4g", "a%zzb", "%25%"}) {
    INFO(value);
    CHECK(why(query, "/events/orders?k=" + std::string(value)) ==
          "the key is taken from :query.k, which is malformed: a '%' without two hexadecimal digits (a literal one is "
          "sent as %25)");
  }
  const std::string twice = "the key is taken from :query.k, which was sent twice";
  for (const char* parameters : {"k=1&k=2", "k=1&k=1", "k&k", "k=1&x=2&%6b=3", "k=&k=", "k=%zz&k=1", "k=1&k=%zz"}) {
    INFO(parameters);
    CHECK(why(query, "/events/orders?" + std::string(parameters)) == twice);
  }
  CHECK(why(header, "/events/orders", {"X-Tenant: 1", "x-tenant: 2"}) ==
        "the key is taken from :header.x-tenant, which was sent twice");
  CHECK(why(header, "/events/orders", {"X-Tenant: 1", "X-TENANT: 1"}) ==
        "the key is taken from :header.x-tenant, which was sent twice");
}

TEST_CASE("event_route: a key from an attribute is what was meant, however it was spelled") {
  World world;
  const auto read = [&](const std::string& name, std::initializer_list<std::string_view> lines) {
    std::vector<std::string_view> all{kJson, "ce-specversion: 1.0", "ce-id: i%20d", "ce-source: /s%20", "ce-type: t"};
    all.insert(all.end(), lines.begin(), lines.end());
    const MadeRequest request("/events/orders", all);
    return world.read(route_with(Reference{From::header, name, {}}), request);
  };
  for (const std::string_view line :
       {"ce-partitionkey: café", "ce-partitionkey: caf%C3%A9", "CE-PartitionKey: caf%c3%a9",
        "ce-partitionkey: \"café\"", "ce-partitionkey: %63%61%66%C3%A9", "ce-partitionkey: \"caf%C3%a9\""}) {
    INFO(line);
    REQUIRE_FALSE(read("ce-partitionkey", {line}));
    CHECK(world.event.event.key == "café");
  }
  const std::pair<const char*, const char*> known[] = {{"ce-id", "i d"},      {"ce-source", "/s "},
                                                       {"ce-type", "t"},      {"ce-specversion", "1.0"},
                                                       {"ce-subject", "a b"}, {"ce-time", "2026-11-21T12:00:00Z"}};
  for (const auto& [name, value] : known) {
    INFO(name);
    REQUIRE_FALSE(read(name, {"ce-subject: a%20b", "ce-time: 2026-11-21T12:00:00Z"}));
    CHECK(world.event.event.key == value);
  }
  REQUIRE_FALSE(read("ce-empty", {"ce-empty:"}));
  CHECK(world.event.event.key == "");
  CHECK(read("ce-time", {})->type == "key-missing");
  CHECK(read("ce-other", {"ce-others: x"})->type == "key-missing");
  const auto twice = read("ce-a", {"ce-a: 1", "ce-A: 1"});
  CHECK(twice->status == 400);
  CHECK(twice->detail == "ce-a was sent twice");
  const MadeRequest plain("/events/orders", {kJson});
  CHECK(world.read(route_with(Reference{From::header, "ce-id", {}}), plain)->type == "key-missing");
}

TEST_CASE("event_route: JSON is checked where it is claimed, and needed for a key from the body") {
  World world;
  const auto refused = [&](const EventRoute& route, std::initializer_list<std::string_view> lines,
                           const std::string& text) {
    const MadeRequest request("/events/orders", lines, text);
    const auto problem = world.read(route, request);
    REQUIRE(problem);
    return *problem;
  };
  auto problem = refused(route_with(), {kJson}, "{\"a\":1,\"a\":2}");
  CHECK(problem.status == 400);
  CHECK(problem.type == "json-invalid");
  CHECK(problem.detail == "duplicate key at byte 7");
  CHECK(refused(route_with(), {kJson}, "").detail == "unexpected end at byte 0");
  const std::string_view version = "ce-specversion: 1.0", id = "ce-id: 1", source = "ce-source: s", type = "ce-type: t";
  CHECK(refused(route_with(), {kJson, version, id, source, type}, "{").status == 400);
  problem = refused(route_with(body({"a"})), {"Content-Type: text/plain", version, id, source, type}, "{\"a\":1}");
  CHECK(problem.status == 415);
  CHECK(problem.detail == "this route takes its key from :body.a, so Content-Type must be JSON");
}

TEST_CASE("event_route: the key of hashes is 128 bits drawn for it alone, before ids and apart from them") {
  World world;
  REQUIRE(world.random.draws().size() == 1);
  CHECK(world.random.draws()[0].size() == 16);
  const MadeRequest request("/events/orders", {kJson});
  for (int i = 0; i < 500; i++)
    REQUIRE_FALSE(world.read(route_with(), request));
  REQUIRE(world.random.draws().size() > 2);
  const auto text_of = [](const std::vector<std::uint8_t>& bytes) { return std::string(bytes.begin(), bytes.end()); };
  const std::string key = text_of(world.random.draws()[0]);
  for (std::size_t i = 1; i < world.random.draws().size(); i++) {
    const std::string draw = text_of(world.random.draws()[i]);
    CHECK(draw.find(key.substr(0, 8)) == std::string::npos);
    CHECK(draw.find(key.substr(8)) == std::string::npos);
  }
}

TEST_CASE("event_route: too many members are 413 with limit and found") {
  World world({2, 3});
  const auto refused = [&](const std::string& text) {
    const MadeRequest request("/events/orders", {kJson}, text);
    const auto problem = world.read(route_with(), request);
    REQUIRE(problem);
    return *problem;
  };
  auto problem = refused(R"({"a":1,"b":2,"c":3})");
  CHECK(problem.status == 413);
  CHECK(problem.type == "json-members");
  CHECK(problem.limit == 2);
  CHECK(problem.found == 3);
  CHECK(problem.detail == "an object with more members than the limit at byte 13");
  problem = refused(R"([{"a":1,"b":2},{"a":1,"b":2}])");
  CHECK(problem.status == 413);
  CHECK(problem.limit == 3);
  CHECK(problem.found == 4);
  problem = refused(std::string(65, '[') + std::string(65, ']'));
  CHECK(problem.status == 400);
  CHECK(problem.limit == 64);
  CHECK(problem.found == 65);
}

TEST_CASE("event_route: a record over the topic's limit is 413 with both numbers, at the limit it is taken") {
  World world;
  const MadeRequest small("/events/orders", {kJson}, "{}");
  REQUIRE_FALSE(world.read(route_with(), small));
  std::size_t text = 0;
  const auto headers = json::parse(world.event.event.headers);
  for (const auto& [name, value] : headers.items())
    text += name.size() + value.get<std::string>().size();
  const std::size_t exact = EventReader::record_bytes(0, text, headers.size(), 2);
  world.limits.set({{"orders", exact}}, 1);
  CHECK_FALSE(world.read(route_with(), small));
  const MadeRequest larger("/events/orders", {kJson}, "{ }");
  const auto problem = world.read(route_with(), larger);
  REQUIRE(problem);
  CHECK(problem->status == 413);
  CHECK(problem->type == "record-too-large");
  CHECK(problem->limit == exact);
  CHECK(problem->found == exact + 1);
  CHECK(world.read(route_with(Reference{From::literal, "k", {}}), small));
}

TEST_CASE("event_route: the Idempotency-Key is a quoted string or bare characters, and beats the CloudEvent's id") {
  World world;
  const auto id_of = [&](std::initializer_list<std::string_view> lines) {
    const MadeRequest request("/events/orders", lines);
    REQUIRE_FALSE(world.read(route_with(), request));
    return world.event.event.idempotency;
  };
  const auto expected = db::idempotency_id("/events/orders", "", "abc");
  CHECK(id_of({kJson, "Idempotency-Key: abc"}) == expected);
  CHECK(id_of({kJson, "idempotency-key: \"abc\""}) == expected);
  CHECK(id_of({kJson, "Idempotency-Key: abc", "ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-type: t"}) ==
        expected);
  CHECK(id_of({kJson}) == std::nullopt);

  std::string out;
  CHECK((service::read_idempotency_key(R"("a \"b\" \\")", out) && out == R"(a "b" \)"));
  CHECK(service::read_idempotency_key(std::string(255, 'x'), out));
  CHECK(service::read_idempotency_key('"' + std::string(255, 'x') + '"', out));
  for (const std::string& bad :
       {std::string(), std::string("\""), std::string("\"\""), std::string("\"a"), std::string("a b"),
        std::string("a\"b"), std::string("\"a\"b\""), std::string("\"a\\\""), std::string("\"\\n\""), std::string("ä"),
        std::string("a\\b"), std::string(256, 'x')}) {
    INFO(bad);
    CHECK_FALSE(service::read_idempotency_key(bad, out));
  }
  const MadeRequest request("/events/orders", {kJson, "Idempotency-Key:"});
  const auto problem = world.read(route_with(), request);
  REQUIRE(problem);
  CHECK(problem->status == 400);
  CHECK(problem->type == "idempotency-key-invalid");
}

TEST_CASE("event_route: what must be the same when an event is sent again, and what may differ") {
  World world;
  using Lines = std::vector<std::string_view>;
  const auto print = [&](const EventRoute& route, const Lines& lines, const std::string& target = "/events/orders",
                         const std::string& text = R"({"a":1})") {
    const MadeRequest request(target, lines, text);
    const auto problem = world.read(route, request);
    INFO((problem ? problem->detail : std::string()));
    REQUIRE_FALSE(problem);
    REQUIRE(world.event.event.fingerprint.size() == 32);
    return std::string(world.event.event.fingerprint);
  };
  const EventRoute plain = route_with();
  const Lines sent{kJson,          "Idempotency-Key: k", "ce-specversion: 1.0", "ce-id: 1",
                   "ce-source: s", "ce-type: t",         "ce-subject: u",       "ce-x: 1"};
  const auto changed = [&](std::string_view from, std::string_view to) {
    Lines lines = sent;
    const auto at = std::find(lines.begin(), lines.end(), from);
    REQUIRE(at != lines.end());
    *at = to;
    return print(plain, lines);
  };
  const auto added = [&](std::initializer_list<std::string_view> more, const EventRoute& route) {
    Lines lines = sent;
    lines.insert(lines.end(), more.begin(), more.end());
    return print(route, lines);
  };
  const std::string first = print(plain, sent);
  CHECK(first[0] == 1);

  // Made anew for each try, or spelled otherwise.
  CHECK(changed("ce-id: 1", "ce-id: 2") == first);
  CHECK(changed("ce-subject: u", "CE-Subject: %75") == first);
  CHECK(changed(kJson, "content-type:   Application/JSON") == first);
  CHECK(print(plain, Lines(sent.rbegin(), sent.rend())) == first);
  CHECK(added({"ce-time: 2026-11-21T12:00:00Z"}, plain) == first);
  CHECK(added({"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=1", "x-y: z"},
              plain) == first);
  CHECK(added({"ce-traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ce-tracestate: a=1"},
              plain) == first);

  // Another record.
  CHECK(changed("ce-type: t", "ce-type: T") != first);
  CHECK(changed("ce-subject: u", "ce-subject: v") != first);
  CHECK(changed("ce-subject: u", "ce-dataschema: u") != first);
  CHECK(changed("ce-x: 1", "ce-x: 2") != first);
  CHECK(changed("ce-x: 1", "ce-y: 1") != first);
  CHECK(changed(kJson, "Content-Type: application/json; charset=utf-8") != first);
  CHECK(changed(kJson, "Content-Type: application/vnd.x+json") != first);
  CHECK(added({"ce-y: 1"}, plain) != first);
  CHECK(print(plain, sent, "/events/orders", R"({"a": 1})") != first);
  EventRoute other = plain;
  other.topic = "others";
  CHECK(print(other, sent) != first);

  // The record's key, wherever it is from.
  const EventRoute by_query = route_with(Reference{From::query, "k", {}});
  const std::string alice = print(by_query, sent, "/events/orders?k=alice");
  CHECK(print(by_query, sent, "/events/orders?x=1&k=%61lice") == alice);
  CHECK(print(by_query, sent, "/events/orders?k=mallory") != alice);
  CHECK(print(by_query, sent, "/events/orders?k=") != alice);
  CHECK(print(plain, sent, "/events/orders?k=mallory") == print(plain, sent, "/events/orders?k=alice"));
  const EventRoute by_header = route_with(Reference{From::header, "x-k", {}});
  CHECK(added({"x-k: 1"}, by_header) != added({"x-k: 2"}, by_header));

  // What the route says may differ.
  EventRoute lax = plain;
  lax.idempotency_ignore = {"x", "sentat", "type", "datacontenttype", "subject"};
  const std::string again = print(lax, sent);
  CHECK(added({"ce-sentat: 2"}, lax) == again);
  CHECK(print(lax, {"Content-Type: text/plain", "Idempotency-Key: k", "ce-specversion: 1.0", "ce-id: 1", "ce-source: s",
                    "ce-type: other"}) == again);
  CHECK(added({"ce-y: 1"}, lax) != again);
}

TEST_CASE("event_route: media types that mean the same are spelled the same") {
  const auto spelled = [](std::string_view text) {
    std::string out;
    service::spell_media_type(text, out);
    return out;
  };
  CHECK(spelled("").empty());
  CHECK(spelled("Application/JSON") == "application/json");
  CHECK(spelled("text/plain ;\tCharset=UTF-8 ; Format=Flowed") == "text/plain;charset=utf-8;format=Flowed");
  CHECK(spelled("multipart/mixed; boundary=\"A; b\\\" C\" ; x=Y") == "multipart/mixed;boundary=\"A; b\\\" C\";x=Y");
  CHECK(spelled("a/b;x=\"A ;B") == "a/b;x=\"A ;B");
}

TEST_CASE("event_route: nothing of one request is seen in the next") {
  World world;
  const MadeRequest first("/events/orders",
                          {kJson, "Idempotency-Key: k", "ce-specversion: 1.0", "ce-id: 1", "ce-source: s", "ce-type: t",
                           "ce-x: 1", "ce-time: 2026-11-21T12:00:00Z"},
                          R"({"a":"first"})");
  const MadeRequest second("/events/orders", {kJson}, "{}");
  REQUIRE_FALSE(world.read(route_with(body({"a"})), first));
  CHECK(world.read(route_with(body({"a"})), second));
  REQUIRE_FALSE(world.read(route_with(), second));
  const auto headers = json::parse(world.event.event.headers);
  CHECK(headers["ce_type"] == "order \"created\"");
  CHECK_FALSE(headers.contains("ce_x"));
  CHECK_FALSE(world.event.event.key);
  CHECK_FALSE(world.event.event.idempotency);
  CHECK(world.event.event.fingerprint.empty());
}

TEST_CASE("waiting: an outcome finds its own request, or none") {
  Metrics metrics;
  service::Route route(route_with(), 0, metrics);
  service::Waiting waiting;
  const auto first = waiting.begin({3, 1}, route).token;
  const auto second = waiting.begin({4, 1}, route).token;
  CHECK(route.in_flight == 2);
  REQUIRE(waiting.find(first) != nullptr);
  CHECK(waiting.find(http::Ticket{3, 1})->token == first);
  CHECK(waiting.find(http::Ticket{3, 2}) == nullptr);
  CHECK(waiting.find(http::Ticket{9, 1}) == nullptr);

  waiting.find(first)->answered = true;  // at its deadline
  CHECK(waiting.find(http::Ticket{3, 1}) == nullptr);
  const auto next = waiting.begin({3, 2}, route).token;  // the same connection's next request
  REQUIRE(waiting.find(first) != nullptr);
  CHECK(waiting.find(first)->ticket.generation == 1);
  waiting.end(*waiting.find(first));
  CHECK(waiting.find(first) == nullptr);
  CHECK(waiting.find(http::Ticket{3, 2})->token == next);
  const auto reused = waiting.begin({5, 1}, route).token;  // the same place
  CHECK(waiting.find(first) == nullptr);
  CHECK(waiting.find(reused) != nullptr);
  CHECK(waiting.size() == 3);

  waiting.forget_all();
  for (const auto token : {second, next, reused})
    CHECK(waiting.find(token) == nullptr);
  const auto later = waiting.begin({3, 1}, route).token;
  for (const auto token : {first, second, next, reused})
    CHECK(token != later);
  CHECK(waiting.find(std::uint64_t{0}) == nullptr);
}

TEST_CASE("event_route: what the head decides is the same before the body is there and after") {
  World world;
  world.limits.set({{"orders", 2000}}, 1'000'000);
  const Reference header{From::header, "x-key", {}};
  struct Row {
    EventRoute route;
    std::vector<std::string_view> headers;
    std::size_t body_bytes;
    int status;
  };
  for (const Row& row : std::vector<Row>{
           {route_with(body({"a"})), {"Content-Type: text/plain"}, 10, 415},
           {route_with(body({"a"})), {"Content-Type: text/plain", "ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t"}, 10, 415},
           {route_with(), {kJson, "ce-id: 1"}, 10, 400},
           {route_with(header), {kJson}, 10, 422},
           {route_with(), {kJson, "Idempotency-Key: \""}, 10, 400},
           {route_with(), {kJson}, 2001, 413},
           {route_with(body({"a"})), {kJson}, 2001, 413}}) {
    const std::string text(row.body_bytes, '{');  // no JSON: the head comes first
    const MadeRequest request("/events/orders", row.headers, text);
    const auto whole = world.read(row.route, request);
    const auto early = world.reader.admit(row.route, request.request().head, row.body_bytes);
    REQUIRE(whole);
    REQUIRE(early);
    CHECK(early->status == row.status);
    CHECK(early->type == whole->type);
    CHECK(early->detail == whole->detail);
    CHECK(early->limit == whole->limit);
    CHECK(early->found == whole->found);
  }
  const MadeRequest good("/events/orders", {kJson}, "no JSON");
  CHECK_FALSE(world.reader.admit(route_with(body({"a"})), good.request().head, 7));
  CHECK(world.read(route_with(body({"a"})), good));
}
