#include "config/network.hpp"
#include "config/syntax.hpp"

#include "config/dsn.hpp"
#include "config/spelling.hpp"
#include "config/value_reference.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;

TEST_CASE("addresses: numeric, with a port") {
  CHECK(to_string(*parse_address("127.0.0.1:8080")) == "127.0.0.1:8080");
  CHECK(to_string(*parse_address("[::1]:8080")) == "[::1]:8080");
  CHECK(to_string(*parse_address("[0:0:0:0:0:0:0:1]:1")) == "[::1]:1");
  CHECK(parse_address("0.0.0.0:65535"));
  for (const char* bad : {"localhost:8080", "127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:0", "127.0.0.1:65536",
                          "::1:8080", "[::1]", "[127.0.0.1]:80", "127.0.0.1:80x", "127.0.0.1: 80", "127.1:80", "",
                          "[]:80", "1.2.3.256:1", "[fe80::1%eth0]:80", "127.0.0.1:-1", "127.0.0.1:+80"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_address(bad));
  }
}

TEST_CASE("addresses: the service may listen on a unix socket") {
  CHECK(to_string(*parse_listen("unix:/run/ratchetd/http.sock")) == "unix:/run/ratchetd/http.sock");
  CHECK(to_string(*parse_listen("[::1]:8080")) == "[::1]:8080");
  CHECK(parse_listen("unix:/" + std::string(106, 'a')));
  for (const std::string& bad : {std::string("unix:"), std::string("unix:/"), std::string("unix:relative"), std::string("unix:/a/"),
                                 std::string("unix:/a b"), std::string("unix:@abstract"), "unix:/" + std::string(107, 'a'),
                                 std::string("/run/http.sock")}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_listen(bad));
  }
  CHECK_FALSE(parse_address("unix:/run/http.sock"));
}

TEST_CASE("networks: CIDR without bits after the prefix, single addresses, the unix socket") {
  for (const char* good : {"10.0.0.0/8", "0.0.0.0/0", "192.0.2.7", "192.0.2.7/32", "192.0.2.128/25", "2001:db8::/32", "::/0", "::1",
                           "::1/128", "::ffff:10.0.0.0/104", "unix:"}) {
    CAPTURE(good);
    CHECK(parse_network(good));
  }
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.1/8", "192.0.2.129/25", "2001:db8::1/32", "::/129", "10.0.0.0/", "10.0.0.0/-1",
                          "10.0.0.0/+8", "10.0.0.0/8x", "10.0.0/8", "10.0.0.0/8/8", "example.com", "[::1]", "fe80::1%lo", " 10.0.0.0/8",
                          "unix", "unix:/a"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_network(bad));
  }
  const auto in = [](const char* network, const char* address) { return parse_network(network)->contains(*parse_numeric(address)); };
  CHECK(in("192.0.2.128/25", "192.0.2.200"));
  CHECK_FALSE(in("192.0.2.128/25", "192.0.2.127"));
  CHECK(in("10.0.0.0/8", "::ffff:10.1.2.3"));
  CHECK_FALSE(in("::/0", "10.1.2.3"));
  CHECK_FALSE(in("0.0.0.0/0", "::1"));
}

TEST_CASE("bootstrap: host and port") {
  for (const char* good : {"kafka-1.example.com:9092", "127.0.0.1:1", "[::1]:9092", "kafka_1:9092"})
    CHECK(is_endpoint(good));
  for (const char* bad :
       {"kafka", "kafka:", ":9092", "PLAINTEXT://kafka:9092", "a,b:1", "a b:1", "kafka:99999", "a:b:1"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_endpoint(bad));
  }
}

TEST_CASE("topics: by Kafka's rules") {
  CHECK(is_topic("orders"));
  CHECK(is_topic("a.B_c-9"));
  CHECK(is_topic(std::string(249, 'a')));
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string("a b"),
                                 std::string("a/b"), std::string("\xC3\xA9"), std::string(250, 'a')}) {
    CHECK_FALSE(is_topic(bad));
  }
}

TEST_CASE("route paths: exact, safe for any router, not the daemon's own") {
  for (const char* good : {"/", "/events/orders", "/a.b~c_d-e/", "/ready/x", "/..."}) {
    CAPTURE(good);
    CHECK(route_path_fault(good, 512).empty());
  }
  for (const char* bad : {"", "events", "/a?b", "/a#b", "/{id}", "/:id", "/a*", "/a b", "/a//b", "/../x", "/a/.",
                          "/live", "/ready", "/health", "/%41", "/a(b)", "//"}) {
    CAPTURE(bad);
    CHECK_FALSE(route_path_fault(bad, 512).empty());
  }
  CHECK_FALSE(route_path_fault("/" + std::string(512, 'a'), 512).empty());
}

TEST_CASE("references: body, header, query, constants") {
  const auto parsed = [](std::string_view text) {
    const ParsedReference out = parse_reference(text);
    CAPTURE(text, out.error);
    REQUIRE(out.error.empty());
    return out.reference;
  };
  CHECK(parsed(":body.customer").path == std::vector<std::string>{"customer"});
  CHECK(parsed(":body.a.b-c.0").path == std::vector<std::string>{"a", "b-c", "0"});
  CHECK(parsed(":body.a").from == Reference::From::body);
  CHECK(parsed(":header.X-Customer").from == Reference::From::header);
  CHECK(parsed(":header.X-Customer").name == "x-customer");
  CHECK(parsed(":query.id").from == Reference::From::query);
  CHECK(parsed(":query.id").name == "id");
  CHECK(parsed("all").from == Reference::From::literal);
  CHECK(parsed("all").name == "all");
  for (const char* bad : {"", ":", ":body", ":body.", ":body..a", ":body.a.", ":header.", ":header.a b", ":query",
                          ":row", ":row.x", ":path.x", ":nothing.x", ":Body.x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_reference(bad).error.empty());
  }
  CHECK(parse_reference(":boddy.customer").did_you_mean == ":body.customer");
}

TEST_CASE("spelling: near names are found, far ones are not") {
  const std::vector<std::string_view> names = {"size", "idle_ms", "request_ms", "statement_timeout_ms", "bootstrap"};
  CHECK(closest("siez", names) == "size");
  CHECK(closest("idle", names) == "idle_ms");
  CHECK(closest("idle-ms", names) == "idle_ms");
  CHECK(closest("Size", names) == "size");
  CHECK(closest("bootstrp", names) == "bootstrap");
  CHECK(closest("statment_timeout", names) == "statement_timeout_ms");
  CHECK(closest("banana", names).empty());
  CHECK(closest("", names).empty());
  CHECK(closest(std::string(100'000, 's'), names).empty());
}

TEST_CASE("dsn: the password is lifted out, the rest stays as it was") {
  const auto split = [](std::string_view text) {
    SplitDsn out = split_dsn(text);
    CAPTURE(text, out.error);
    REQUIRE(out.error.empty());
    return out;
  };
  CHECK(split("host=a port=1").rest == "host=a port=1");
  CHECK_FALSE(split("host=a").password);
  CHECK(split("host=a password=x y=z").rest == "host=a y=z");
  CHECK(*split("password = 'a\\'b \\\\c' host=a").password == "a'b \\c");
  CHECK(*split("password=a\\ b host=a").password == "a b");
  CHECK(split("options='-c x=y' password=q").rest == "options='-c x=y'");
  CHECK(split("host=a sslpassword=k").key_password);

  CHECK(split("postgresql://u:p@h:1/db").rest == "postgresql://u@h:1/db");
  CHECK(*split("postgresql://u:p%40%2F@h/db?sslmode=require").password == "p@/");
  CHECK(split("postgres://u:p@h/db?sslmode=require").rest == "postgres://u@h/db?sslmode=require");
  CHECK(split("postgres://:p@h/").rest == "postgres://h/");
  CHECK(split("postgres:///db?host=/run&password=s&user=u").rest == "postgres:///db?host=/run&user=u");
  CHECK(*split("postgres:///db?host=/run&password=s").password == "s");
  CHECK(split("postgresql://[::1]:5432/db").rest == "postgresql://[::1]:5432/db");
  CHECK(split("postgresql://u@h").rest == "postgresql://u@h");

  for (const char* bad : {"nonsense", "host=a password='open", "host=a secret", "=x", "postgres://u:%zz@h/",
                          "postgres://h/?x", "postgres://u:%00@h/"}) {
    CAPTURE(bad);
    const SplitDsn out = split_dsn(bad);
    CHECK_FALSE(out.error.empty());
    CHECK(out.error.find("secret") == std::string::npos);
  }
}

TEST_CASE("shown: control characters are escaped, long texts cut between characters") {
  CHECK(shown("a\"b\\c\n") == "\"a\\\"b\\\\c\\u000a\"");
  std::string two_bytes;
  for (int i = 0; i < 100; ++i)
    two_bytes += "\xC3\xA9";
  CHECK(shown(two_bytes).size() == 80 + 2 + 3);
  const std::string odd = shown("x" + two_bytes);
  CHECK(odd.size() == 79 + 2 + 3);
}
