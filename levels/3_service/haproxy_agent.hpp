// Answers HAProxy's agent-check: it connects every agent-inter, reads one line, and does what the words say.
//
//   here            "ready up 100%" for the first 3 polls of each address after a change, then "up 100%"
//   left, asked     "drain 0%"
//   left by fault   "down"; also before level 3 was held for the first time, unless the port was kept over a restart:
//                   then nothing, for HAProxy may go on sending what waits in the port's queue
//
// Why `ready` is not said all the time: it undoes an operator's `set server ... state drain`, too. Why it must be said
// at all: only the agent undoes the agent's `drain`. A line without its newline is ignored by HAProxy, so each is
// written in one piece and ended by one. Polls are counted by the address they come from.
//
// Anybody may poll, and is told. Leaving waits for listed balancers (service.balancers) only; where none of them polls,
// for those that have polled six times in a row. An address that is not listed is told of once in the log; it never
// takes the place of a listed one, neither in what is remembered nor among the connections.
//
// The port is open as long as the daemon runs: a refused agent-check changes nothing in HAProxy.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/network.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/rare_lines.hpp"
#include "levels/3_service/registrars.hpp"

namespace ratchet::service {

// What the agent says and to whom it has said it; any time is an argument. Not thread-safe.
class AgentWords {
 public:
  enum class Mode : std::uint8_t { here, draining, down };

  explicit AgentWords(TimePoint since) noexcept : since_(since) {}  // the time
  void change(Mode mode);
  // The line, with its newline. `listed`: `from` is a balancer's address.
  std::string poll(const std::string& from, bool listed, TimePoint now);
  // Everybody who counts has heard of the last change: each address that polled in its last three intervals (at least
  // 3 s ago, at most a minute). Within the first 3 s, nobody is taken for one who has not come yet.
  bool all_know(TimePoint now) const;
  std::size_t remembered() const noexcept { return pollers_.size(); }

 private:
  struct Poller {
    bool listed = false;
    unsigned polls = 0;  // since the last change
    unsigned row = 0;    // never silent for longer than it is believed; at most kRegular
    TimePoint last{};
    Duration interval = std::chrono::seconds(2);
    Duration belief() const noexcept;
  };
  Poller* find_or_add(const std::string& from, bool listed, TimePoint now);
  TimePoint since_;
  Mode mode_ = Mode::down;
  std::map<std::string, Poller> pollers_;  // at most 256; the oldest goes, first of those that are not listed
};

class HaproxyAgent final : public Balancer {
 public:
  // `port_survived`: the service port is open since the last process; any thread.
  HaproxyAgent(const std::string& name, const ListenAddress& listen, const TimeSource& time, Log& log,
               AlarmBoard& alarms, std::function<bool()> port_survived, Networks balancers);
  ~HaproxyAgent() override;
  HaproxyAgent(const HaproxyAgent&) = delete;
  HaproxyAgent& operator=(const HaproxyAgent&) = delete;

  // `status`: done when all who poll know.
  Told tell(Verb verb, Leave leave, Patience& patience) override;

 private:
  struct Guest {
    int fd;
    bool listed;
    TimePoint until;  // then it is closed, whether its side is done or not
  };
  void run();
  bool open();
  void accept_all(TimePoint now);
  void serve(int fd);
  bool make_room(bool listed);  // false: the newcomer has to go
  void mind_guests();

  const std::string alarm_;
  const ListenAddress listen_;
  const TimeSource& time_;
  Log& log_;
  AlarmBoard& alarms_;
  const std::function<bool()> port_survived_;
  const Networks balancers_;

  std::mutex mutex_;
  AgentWords words_;     // under mutex_
  bool told_ = false;    // level 3 has said something; under mutex_
  std::string trouble_;  // why the port is not open; under mutex_

  int listener_ = -1;  // the thread's
  TimePoint open_at_{};
  TimePoint accept_at_{};      // accepting rests while there are no files
  std::vector<Guest> guests_;  // in the order in which they came
  RareLines unlisted_;
  const int wake_;  // eventfd
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace ratchet::service
