// Whose word is heard: each request through a real reactor, which alone knows where it came from.
#include "levels/0_baseline/balancer_words.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <optional>

#include "tests/support/catch.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using ratchet::tests::RawHttp;
using Unheard = Probe::Unheard;

namespace {

const std::string kWord = "X-HAProxy-Server-State: NOLB; name=be/s; node=lb1; weight=1/1; scur=0/0; qcur=0\r\n";

class Port final : public http::Service {
 public:
  Port(const std::vector<std::string>& balancers, std::optional<std::string> secret = std::nullopt,
       bool proxy_protocol = false, const std::vector<std::string>& trusted = {})
      : words({Networks(balancers), secret.has_value()}),
        reactor({"test", {}, proxy_protocol, http::TrustedProxies(trusted)}, *this, time, log, metrics) {
    if (secret) words.set_secret(*secret);
    REQUIRE(reactor.listen({"127.0.0.1", 0}));
  }

  Probe asked(const std::string& headers, const std::string& before = "") {
    RawHttp client(reactor.port());
    REQUIRE(client.send(before));
    REQUIRE(client.get("/ready", headers));
    return last;
  }

  http::Served serve(http::Reactor& by, const http::Request& request) override {
    last = words.judge(by, request);
    by.answer(request.ticket, {200, "text/plain", "", "", false});
    return http::Served::answered;
  }
  void expired(http::Reactor&, http::Ticket) override {}
  std::string refusal_body(const http::Refusal&) override { return "{}"; }

  tests::RealTime time;
  Log log{LogSettings{LogFormat::text, 3, false}, time};
  Metrics metrics;
  BalancerWords words;
  Probe last;  // read only once its request was answered
  http::Reactor reactor;
};

}  // namespace

TEST_CASE("balancer words: heard from a listed address, and from no other") {
  const Probe heard = Port({"127.0.0.0/8"}).asked(kWord);
  CHECK(heard.is_heard());
  CHECK(heard.counts);
  CHECK(heard.listed);
  CHECK(heard.from == "127.0.0.1");
  for (const std::vector<std::string>& others :
       {std::vector<std::string>{}, {"10.0.0.0/8"}, {"127.0.0.2"}, {"unix:"}}) {
    const Probe unheard = Port(others).asked(kWord);
    CHECK_FALSE(unheard.is_heard());
    CHECK(unheard.unheard == Unheard::unlisted);
    CHECK(unheard.word);
    CHECK(unheard.counts);  // it asks all the same
    CHECK_FALSE(unheard.listed);
    CHECK(unheard.from == "127.0.0.1");
  }
}

TEST_CASE("balancer words: what was forwarded is no balancer's own, whatever header says so") {
  Port port({"127.0.0.0/8"});
  for (const char* header :
       {"X-Forwarded-For: 203.0.113.5", "x-forwarded-for:", "Forwarded: for=203.0.113.5", "Via: 1.1 proxy",
        "X-Real-IP: 203.0.113.5", "X-Forwarded-Proto: https", "X-FORWARDED-HOST: a", "X-Client-IP: 203.0.113.5",
        "True-Client-IP: 203.0.113.5", "CF-Connecting-IP: 203.0.113.5", "Fastly-Client-IP: 203.0.113.5",
        "X-Envoy-External-Address: 203.0.113.5", "X-Cluster-Client-Ip: 203.0.113.5"}) {
    INFO(header);
    const Probe probe = port.asked(kWord + header + "\r\n");
    CHECK(probe.unheard == Unheard::forwarded);
    CHECK_FALSE(probe.counts);
    CHECK(probe.from == "127.0.0.1");
  }
  CHECK(port.asked(kWord + "User-Agent: x\r\nX-Forward: 1\r\nX-Request-Id: 7\r\n").is_heard());
}

TEST_CASE("balancer words: a listed balancer that probes through a trusted proxy asks by its own address, unheard") {
  Port port({"192.0.2.1"}, std::nullopt, false, {"127.0.0.1"});
  const Probe outer = port.asked(kWord + "X-Forwarded-For: 192.0.2.1\r\n");
  CHECK_FALSE(outer.is_heard());
  CHECK(outer.counts);
  CHECK(outer.listed);
  CHECK(outer.from == "192.0.2.1");
  CHECK_FALSE(port.asked(kWord + "X-Forwarded-For: 203.0.113.5\r\n").counts);
  CHECK_FALSE(port.asked(kWord + "X-Forwarded-For: 192.0.2.1, 203.0.113.5\r\n").counts);  // its first hop is made up
  CHECK_FALSE(Port({"192.0.2.1", "127.0.0.1"}).asked("X-Forwarded-For: 192.0.2.1\r\n").counts);  // no trusted proxy
}

TEST_CASE("balancer words: of two words in one request none is believed") {
  Port port({"127.0.0.1"});
  CHECK_FALSE(port.asked(kWord + kWord).word);
  CHECK_FALSE(port.asked(kWord + "x-haproxy-server-state: UP; name=be/s; node=lb1; scur=1\r\n").word);
  CHECK_FALSE(port.asked("").word);
}

TEST_CASE("balancer words: where a secret is set, only what holds it is heard") {
  Port port({"127.0.0.1"}, "open-sesame");
  CHECK(port.asked(kWord + "X-Ratchetd-Probe: open-sesame\r\n").is_heard());
  for (const char* wrong : {"", "X-Ratchetd-Probe:\r\n", "X-Ratchetd-Probe: open-sesam\r\n",
                            "X-Ratchetd-Probe: open-sesame2\r\n", "X-Ratchetd-Probe: Open-sesame\r\n"}) {
    const Probe probe = port.asked(kWord + wrong);
    CHECK(probe.unheard == Unheard::secret);
    CHECK(probe.counts);
  }
  CHECK(port.asked(kWord + "X-Ratchetd-Probe: open-sesame\r\nX-Forwarded-For: 203.0.113.5\r\n").unheard ==
        Unheard::forwarded);
  CHECK(Port({"10.0.0.1"}, "s").asked(kWord + "X-Ratchetd-Probe: s\r\n").unheard == Unheard::unlisted);
  CHECK(Port({"127.0.0.1"}, "").asked(kWord + "X-Ratchetd-Probe:\r\n").unheard == Unheard::secret);  // cannot be had
  CHECK(same_secret("a", "a"));
  CHECK_FALSE(same_secret("ab", "abab"));
  CHECK_FALSE(same_secret("", "a"));
  CHECK_FALSE(same_secret("a", ""));
}

TEST_CASE("balancer words: behind a PROXY header both the socket's end and whom it names must be listed") {
  const std::string for_client = "PROXY TCP4 203.0.113.5 192.0.2.2 4711 80\r\n";
  const std::string of_balancer = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
  const std::string own = "PROXY UNKNOWN\r\n";
  using namespace std::string_literals;
  const std::string own_2 = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s;   // LOCAL
  const std::string hidden = "\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"s;  // PROXY, of nobody that it names
  Port port({"127.0.0.1", "192.0.2.1"}, std::nullopt, true);
  CHECK(port.asked(kWord, own).is_heard());
  CHECK(port.asked(kWord, own_2).is_heard());
  CHECK(port.asked(kWord, of_balancer).is_heard());
  CHECK(port.asked(kWord, of_balancer).from == "192.0.2.1");
  for (const std::string& header : {for_client, hidden}) {
    const Probe probe = port.asked(kWord, header);
    CHECK(probe.unheard == Unheard::forwarded);
    CHECK_FALSE(probe.counts);
  }
  Port stranger({"192.0.2.1"}, std::nullopt, true);  // who reaches the port may claim any address
  const Probe claim = stranger.asked(kWord, of_balancer);
  CHECK(claim.unheard == Unheard::unlisted);
  CHECK(claim.from == "127.0.0.1");
}
