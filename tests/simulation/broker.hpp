// A Kafka made of a few rules, with the producer that talks to it: records of one producer are written in the order
// they were produced; what is on the wire may be written later, also when nobody waits for it any more; a refused
// record takes everything behind it back, until the caller says resume (see levels/2_broker/producer.hpp).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "levels/2_broker/window.hpp"
#include "tests/simulation/judge.hpp"

namespace ratchet::simulation {

class Broker {
 public:
  enum class Mood : std::uint8_t { up, down, frozen, refuses };

  Broker(Timeline& time, Dice& dice, Judge& judge) : time_(time), dice_(dice), judge_(judge) {}

  // ---- the script's side
  Mood mood() const noexcept { return mood_; }
  void become(Mood mood);
  void mark_poison(std::int64_t event) { poison_.insert(event); }
  bool is_poison(std::int64_t event) const { return poison_.count(event) > 0; }

  bool has(std::int64_t event) const { return first_.count(event) > 0; }
  std::size_t records() const noexcept { return log_.size(); }
  // Events of one key in the order of their first occurrences.
  const std::vector<std::int64_t>& first_occurrences(const std::string& key) { return by_key_[key]; }

 private:
  friend class Producer;
  void write(const std::string& key, std::int64_t event);
  std::vector<std::function<void()>> stuck_;  // arrived while frozen

  Timeline& time_;
  Dice& dice_;
  Judge& judge_;
  Mood mood_ = Mood::up;
  std::vector<std::int64_t> log_;
  std::set<std::int64_t> first_, poison_;
  std::map<std::string, std::vector<std::int64_t>> by_key_;
};

// One producer; its owner destroys it, what is on the wire lives on.
class Producer {
 public:
  using Sink = std::function<void(const kafka::Delivery&)>;
  Producer(Broker& broker, Sink sink);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  void produce(const std::string& key, std::int64_t event, std::uint64_t token);
  void resume() noexcept { refused_ = false; }
  void purge();
  std::optional<TimePoint> oldest_in_flight() const;

 private:
  struct Sent {
    std::uint64_t serial;
    std::string key;
    std::int64_t event;
    std::uint64_t token;
    TimePoint at;
    bool written = false;  // a second try of the same record is recognised by the broker
  };
  struct Wire {  // shared with what is under way; empty owner: the producer is gone
    Producer* owner;
  };
  void send_next();
  static void arrive(Broker& broker, const std::shared_ptr<Wire>& wire, const Sent& sent);
  void answered(std::uint64_t serial, int code);
  void try_again(std::uint64_t serial, bool written);

  Broker& broker_;
  Sink sink_;
  std::shared_ptr<Wire> wire_;
  std::deque<Sent> queue_;
  std::uint64_t serials_ = 0;
  bool on_the_wire_ = false;  // the first of the queue
  bool refused_ = false;
};

}  // namespace ratchet::simulation
