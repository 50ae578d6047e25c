// The reactor alone: every request is answered at once. For a load generator, such as
//   wrk -t1 -c64 -d5s http://127.0.0.1:PORT/
// Prints its port, runs until its standard input ends, then tells what it spent.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "levels/0_baseline/reactor.hpp"
#include "tests/support/real_time.hpp"

namespace {

using namespace ratchet;

class NoWork final : public http::Service {
 public:
  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    reactor.answer(request.ticket, {202, "application/json", "{\"id\":\"0191d2a0-7b1c-7def-8a2b-0123456789ab\"}", "", false});
    return http::Served::answered;
  }
  void expired(http::Reactor&, http::Ticket) override {}
  std::string refusal_body(const http::Refusal& refusal) override { return std::string(refusal.detail); }
};

double in_seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

}  // namespace

int main(int argc, char** argv) {
  tests::RealTime time;
  Log log({}, time);
  Metrics metrics;
  NoWork service;
  HttpLimits limits;
  http::Reactor reactor({"bench", limits}, service, time, log, metrics);
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  if (const auto listening = reactor.listen({"127.0.0.1", port}); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().text.c_str());
    return 1;
  }
  std::printf("%u\n", static_cast<unsigned>(reactor.port()));
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto requests = static_cast<double>(reactor.counts().requests.load());
  const double user = in_seconds(used.ru_utime), kernel = in_seconds(used.ru_stime);
  std::printf("requests %.0f, open %llu, cpu %.2f us per request (user %.2f, kernel %.2f), peak rss %ld KiB\n", requests,
              static_cast<unsigned long long>(reactor.counts().open.load()), (user + kernel) * 1e6 / requests, user * 1e6 / requests,
              kernel * 1e6 / requests, used.ru_maxrss);
  return 0;
}
