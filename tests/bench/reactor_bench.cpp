// The reactor under all its limits and metrics, with routes that do nothing. For a load generator:
//   /      202 at once, looked up and timed as the service does it
//   /work  202 with the next batch of 5 ms, as a commit would; more than 64 at once: 503
//   /busy  503 with a problem, at once
// Prints its port, runs until its standard input ends, then tells what it spent.
#include <sys/resource.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "levels/0_baseline/reactor.hpp"
#include "levels/3_service/problem.hpp"
#include "levels/3_service/routes.hpp"
#include "tests/support/real_time.hpp"

namespace {

using namespace ratchet;

constexpr std::size_t kMostWork = 64;
constexpr std::chrono::milliseconds kBatch{5};
constexpr std::string_view kReply = "{\"id\":\"0191d2a0-7b1c-7def-8a2b-0123456789ab\"}";

class NoWork final : public http::Service {
 public:
  NoWork(const TimeSource& time, Metrics& metrics, Duration request)
      : time_(time), request_(request), busy_(metrics.rejected("bulkhead")) {
    for (const char* path : {"/", "/work", "/busy"})
      routes_.try_emplace(path, metrics, path);
  }
  ~NoWork() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    wake_.notify_one();
    if (batches_.joinable()) batches_.join();
  }
  void start(http::Reactor& reactor) {
    batches_ = std::thread([this, &reactor] { run(reactor); });
  }

  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    const std::string_view path = request.head.path;
    const auto found = routes_.find(path);
    const bool work = path == "/work";
    if (found == routes_.end() || path == "/busy" || (work && waiting_.size() >= kMostWork)) {
      auto problem = service::problem_of(service::ProblemKind::bulkhead, "nothing was stored: too many requests");
      problem.retry_after_s = 1;
      busy_.add();
      if (found != routes_.end()) found->second.observe(503, time_.now() - (request.deadline - request_));
      service::answer(reactor, request.ticket, problem, path);
      return http::Served::answered;
    }
    if (work) {
      waiting_.push_back(request.ticket);
      return http::Served::deferred;
    }
    found->second.observe(202, time_.now() - (request.deadline - request_));
    reactor.answer(request.ticket, {202, "application/json", kReply, "", false});
    return http::Served::answered;
  }
  void expired(http::Reactor&, http::Ticket) override {}
  std::string refusal_body(const http::Refusal& refusal) override { return service::to_json(refusal); }

 private:
  void run(http::Reactor& reactor) {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kBatch, [this] { return ended_; })) {
      reactor.post([this](http::Reactor& r) {
        std::vector<http::Ticket> batch;
        batch.swap(waiting_);
        for (const http::Ticket ticket : batch)
          r.answer(ticket, {202, "application/json", kReply, "", false});
      });
    }
  }

  const TimeSource& time_;
  const Duration request_;
  std::map<std::string, service::RequestTimes, std::less<>> routes_;
  const Counter busy_;
  std::vector<http::Ticket> waiting_;  // the reactor's
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false;
  std::thread batches_;
};

double in_seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  tests::RealTime time;
  Log log({}, time);
  Metrics metrics;
  const HttpLimits limits;
  NoWork service(time, metrics, limits.request);
  http::Reactor reactor({"bench", limits}, service, time, log, metrics);
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  if (const auto listening = reactor.listen({"127.0.0.1", port, ""}); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().text.c_str());
    return 1;
  }
  service.start(reactor);
  std::printf("%u\n", static_cast<unsigned>(reactor.port()));
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto requests = static_cast<double>(reactor.counts().requests.load());
  const double user = in_seconds(used.ru_utime), kernel = in_seconds(used.ru_stime);
  std::printf("requests %.0f, open %llu, cpu %.2f us per request (user %.2f, kernel %.2f), peak rss %ld KiB\n",
              requests, static_cast<unsigned long long>(reactor.counts().open.load()), (user + kernel) * 1e6 / requests,
              user * 1e6 / requests, kernel * 1e6 / requests, used.ru_maxrss);
  return 0;
}
