#include "tests/simulation/broker.hpp"

#include <utility>

namespace ratchet::simulation {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kTooLarge = 10, kNotEnoughReplicas = 19, kNotLeader = 6, kNobodyKnows = 999;
constexpr int kPurgedFromQueue = -152, kPurgedInFlight = -151;
constexpr auto kRetry = milliseconds(100);  // retry.backoff.ms

const char* word(Broker::Mood mood) {
  switch (mood) {
    case Broker::Mood::up:
      return "up";
    case Broker::Mood::down:
      return "down";
    case Broker::Mood::frozen:
      return "frozen";
    case Broker::Mood::refuses:
      return "short of replicas";
  }
  return "?";
}

}  // namespace

void Broker::become(Mood mood) {
  if (mood == mood_) return;
  judge_.tell(-1, std::string("the broker is ") + word(mood));
  mood_ = mood;
  if (mood == Mood::frozen) return;
  std::vector<std::function<void()>> arrived;
  arrived.swap(stuck_);
  for (const auto& record : arrived)
    record();
}

void Broker::write(const std::string& key, std::int64_t event) {
  log_.push_back(event);
  if (first_.insert(event).second) by_key_[key].push_back(event);
}

// ---- producer ----------------------------------------------------------------------------------------------------

Producer::Producer(Broker& broker, Sink sink)
    : broker_(broker), sink_(std::move(sink)), wire_(std::make_shared<Wire>(Wire{this})) {}

Producer::~Producer() { wire_->owner = nullptr; }

void Producer::produce(const std::string& key, std::int64_t event, std::uint64_t token) {
  if (refused_) {
    sink_({token, kPurgedFromQueue, "purged"});
    return;
  }
  queue_.push_back({++serials_, key, event, token, broker_.time_.now()});
  send_next();
}

void Producer::send_next() {
  if (on_the_wire_ || queue_.empty()) return;
  on_the_wire_ = true;
  broker_.time_.after(broker_.dice_.between(microseconds(100), milliseconds(1)),
                      [&broker = broker_, wire = wire_, sent = queue_.front()] { arrive(broker, wire, sent); });
}

// At the broker. The producer may be gone by now, or may have taken the record back.
void Producer::arrive(Broker& broker, const std::shared_ptr<Wire>& wire, const Sent& sent) {
  if (broker.mood_ == Broker::Mood::frozen) {
    broker.stuck_.push_back([&broker, wire, sent] { arrive(broker, wire, sent); });
    return;
  }
  int code = 0;
  const bool down = broker.mood_ == Broker::Mood::down;
  if (!down) {
    if (broker.mood_ == Broker::Mood::refuses)
      code = kNotEnoughReplicas;
    else if (broker.is_poison(sent.event))
      code = kTooLarge;
    else if (broker.dice_.one_in(400))
      code = broker.dice_.one_in(2) ? kNotLeader : kNobodyKnows;
    if (code == 0 && !sent.written) broker.write(sent.key, sent.event);
  }
  const bool answer_lost = down || broker.dice_.one_in(300);
  const bool written = sent.written || (!down && code == 0);
  broker.time_.after(answer_lost ? Duration(kRetry) : broker.dice_.between(microseconds(100), milliseconds(1)),
                     [wire, serial = sent.serial, code, answer_lost, written] {
                       if (wire->owner == nullptr) return;
                       if (answer_lost)
                         wire->owner->try_again(serial, written);
                       else
                         wire->owner->answered(serial, code);
                     });
}

void Producer::try_again(std::uint64_t serial, bool written) {
  if (queue_.empty() || queue_.front().serial != serial) return;  // taken back meanwhile
  queue_.front().written = written;
  on_the_wire_ = false;
  send_next();
}

void Producer::answered(std::uint64_t serial, int code) {
  if (queue_.empty() || queue_.front().serial != serial) return;
  const std::uint64_t token = queue_.front().token;
  queue_.pop_front();
  on_the_wire_ = false;
  if (code != 0) {
    refused_ = true;  // nothing may overtake it
    purge();
  }
  sink_({token, code, code == 0 ? "" : "refused"});
  send_next();
}

void Producer::purge() {
  std::deque<Sent> taken_back;
  taken_back.swap(queue_);
  int code = std::exchange(on_the_wire_, false) ? kPurgedInFlight : kPurgedFromQueue;
  for (const Sent& sent : taken_back) {
    sink_({sent.token, code, "purged"});
    code = kPurgedFromQueue;
  }
}

std::optional<TimePoint> Producer::oldest_in_flight() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.front().at;
}

}  // namespace ratchet::simulation
