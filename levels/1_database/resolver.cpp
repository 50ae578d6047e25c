#include "levels/1_database/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace ratchet::db {
namespace {

constexpr std::size_t kMostAddresses = 8;

Resolver::Answer ask_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return {{}, ::gai_strerror(error)};
  }
  Resolver::Answer answer;
  for (const addrinfo* one = found; one != nullptr && answer.addresses.size() < kMostAddresses; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) {
      answer.addresses.emplace_back(text);
    }
  }
  ::freeaddrinfo(found);
  if (answer.addresses.empty()) answer.error = "no address";
  return answer;
}

struct Question {
  std::string host;
  bool answered = false;
  Resolver::Answer answer;
};

}  // namespace

struct Resolver::Inside {
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<Question> asked;  // empty: the helper thread is not running
  Lookup lookup;
};

Resolver::Resolver() : Resolver(ask_system) {}

Resolver::Resolver(Lookup lookup) : inside_(std::make_shared<Inside>()) { inside_->lookup = std::move(lookup); }

Result<std::vector<std::string>> Resolver::resolve(const std::string& host, Patience& patience,
                                                   const TimeSource& time) {
  auto fault = [&](std::string text) { return Fault{1, 0, FaultKind::name_resolution, std::move(text), time.now()}; };
  std::unique_lock lock(inside_->mutex);
  std::shared_ptr<Question> mine;
  for (;;) {
    if (mine && mine->answered) break;
    if (!mine && inside_->asked && inside_->asked->host == host) mine = inside_->asked;
    if (!mine && !inside_->asked) {
      mine = std::make_shared<Question>();
      mine->host = host;
      try {
        std::thread([inside = inside_, question = mine] {
          Answer answer = inside->lookup(question->host);
          std::lock_guard guard(inside->mutex);
          question->answer = std::move(answer);
          question->answered = true;
          inside->asked.reset();
          inside->changed.notify_all();
        }).detach();
      } catch (const std::system_error& error) {
        return fault("no thread to resolve " + host + " with: " + error.what());
      }
      inside_->asked = mine;  // the thread waits for our lock before it answers
    }
    const TimePoint now = time.now();
    if (patience.over(now)) return fault("no answer in time from the name resolver for " + host);
    inside_->changed.wait_until(lock, patience.nap(now));
  }
  if (mine->answer.addresses.empty()) return fault("cannot resolve " + host + ": " + mine->answer.error);
  return mine->answer.addresses;
}

bool is_numeric_address(const std::string& host) noexcept {
  in6_addr address;
  const std::string bare = host.substr(0, host.find('%'));
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 || ::inet_pton(AF_INET6, bare.c_str(), &address) == 1;
}

}  // namespace ratchet::db
