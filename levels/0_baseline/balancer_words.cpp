#include "levels/0_baseline/balancer_words.hpp"

#include <algorithm>

namespace ratchet {

namespace {

// Of one that was sent twice none is believed: the second may be a client's.
std::optional<HaproxyState> state_of(const http::Head& head) {
  const http::Header* only = nullptr;
  for (std::size_t i = 0; i < head.header_count; ++i) {
    if (!http::equals_ignoring_case(head.headers[i].name, BalancerWords::kState)) continue;
    if (only != nullptr) return std::nullopt;
    only = &head.headers[i];
  }
  return only == nullptr ? std::nullopt : parse_haproxy_state(only->value);
}

}  // namespace

bool same_secret(std::string_view expected, std::string_view given) noexcept {
  unsigned different = expected.size() == given.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    different |= static_cast<unsigned>(static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(other));
  }
  return different == 0;
}

bool BalancerWords::knows_the_secret(const http::Head& head) const noexcept {
  if (!rules_.wants_secret) return true;
  const auto given = head.header(kSecret);
  return given && !secret_.empty() && same_secret(secret_, *given);
}

Probe BalancerWords::judge(const http::Reactor& reactor, const http::Request& request) const {
  using Unheard = Probe::Unheard;
  const bool named = request.behalf == http::Behalf::client;
  // Whoever reaches the port may claim any address in a PROXY header; nobody chooses the other end of his socket.
  const auto socket = named ? reactor.socket_peer(request.ticket) : std::nullopt;
  const std::string_view hop = named ? socket ? socket->view() : "unknown" : request.connection;
  const bool by_balancer = rules_.balancers.contain(hop);
  const bool of_balancer = by_balancer && (!named || rules_.balancers.contain(request.connection));
  Probe probe;
  probe.word = state_of(request.head);
  probe.from = hop;
  if (request.behalf == http::Behalf::hidden || by_balancer != of_balancer || http::is_forwarded(request.head)) {
    probe.unheard = Unheard::forwarded;
    // Another address than the connection's stands only in the headers of a trusted proxy.
    probe.counts = probe.listed = request.peer != request.connection && rules_.balancers.contain(request.peer);
    if (probe.counts) probe.from = request.peer;
    return probe;
  }
  if (named && by_balancer) probe.from = request.connection;
  probe.counts = true;
  probe.listed = of_balancer;
  if (!probe.listed) {
    probe.unheard = Unheard::unlisted;
  } else if (!knows_the_secret(request.head)) {
    probe.unheard = Unheard::secret;
  }
  return probe;
}

}  // namespace ratchet
