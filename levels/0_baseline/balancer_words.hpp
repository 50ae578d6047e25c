// Whether what a probe of /ready says of us is a load balancer's own word. Anybody can send X-HAProxy-Server-State,
// also through the balancer, and a word that is believed closes our port early, or keeps a stop waiting. It is heard
// only if
//
//   - the other end of the socket is in service.balancers; where a PROXY header names a client, that client is, too,
//     and a connection made for a client without a name is nobody's of ours,
//   - no proxy has added a header that says for whom it forwards (is_forwarded): a balancer's own checks have none,
//   - and X-Ratchetd-Probe holds service.probe_secret, where that is set.
//
// What was forwarded for a client is no probe at all: it neither lengthens nor shortens anybody's interval. The one
// exception is a listed balancer that probes through a trusted proxy: it counts as an asker, by its own address.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "config/network.hpp"
#include "levels/0_baseline/probers.hpp"
#include "levels/0_baseline/reactor.hpp"

namespace ratchet {

struct BalancerRules {
  Networks balancers{{"127.0.0.0/8", "::1"}};
  bool wants_secret = false;
};

// What came of one request.
struct Probe {
  enum class Unheard : std::uint8_t { no, unlisted, forwarded, secret };

  bool counts = false;               // it is an asker's own
  bool listed = false;               // as a balancer
  std::string from;                  // the asker's address; of what was forwarded, that of who forwarded it
  std::optional<HaproxyState> word;  // sent, believed or not
  Unheard unheard = Unheard::no;     // of a word that was sent: why it is not believed
  bool is_heard() const noexcept { return word && unheard == Unheard::no; }
};

class BalancerWords {
 public:
  static constexpr std::string_view kState = "x-haproxy-server-state";
  static constexpr std::string_view kSecret = "x-ratchetd-probe";

  explicit BalancerWords(BalancerRules rules) : rules_(std::move(rules)) {}

  bool wants_secret() const noexcept { return rules_.wants_secret; }
  // Empty: it cannot be had, and no word is heard meanwhile.
  void set_secret(std::string secret) { secret_ = std::move(secret); }
  Probe judge(const http::Reactor& reactor, const http::Request& request) const;  // reactor thread

 private:
  bool knows_the_secret(const http::Head& head) const noexcept;

  BalancerRules rules_;
  std::string secret_;
};

// Whether two texts are the same, in a time that depends on their lengths only.
bool same_secret(std::string_view expected, std::string_view given) noexcept;

}  // namespace ratchet
