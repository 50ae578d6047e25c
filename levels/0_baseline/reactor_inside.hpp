// The inside of the reactor. Its loop: wait for events; let every connection go as far as it can; run what other
// threads have posted; look at the deadlines; tell the service that the turn is over.
//
// Why it is fast: each socket is registered with epoll once, edge-triggered, and never re-armed. A request that
// comes in one piece is served straight from the reactor's own read buffer and answered from its own write buffer,
// so the common case neither allocates nor copies. While a request is with the service nothing more is read from its
// connection; `readable` remembers what epoll has said meanwhile, and the answer goes on from there.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "levels/0_baseline/answer_writer.hpp"
#include "levels/0_baseline/deadline_list.hpp"
#include "levels/0_baseline/listener.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/0_baseline/reactor_connection.hpp"

namespace ratchet::http {

constexpr bool would_block(int error) noexcept { return error == EAGAIN; }

class Reactor::Inside {
 public:
  Inside(Reactor& self, Options options, Service& service, const TimeSource& time, Log& log, Metrics& metrics);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  // Any thread.
  void start();
  void stop();  // and joins
  Result<Nothing> listen(const ListenAddress& address) { return install(Listener::open(address, time_.now())); }
  Result<Nothing> adopt(int fd) { return install(Listener::adopt(fd, time_.now())); }
  bool post(std::function<void(Reactor&)> task);
  void command(void (Inside::*what)());
  void refuse_all(std::string answer);
  std::uint16_t port() const noexcept { return port_.load(); }
  bool port_closed() const noexcept { return !port_open_.load(); }
  const ReactorCounts& counts() const noexcept { return counts_; }
  TimePoint turned() const noexcept { return TimePoint(Duration(turned_.load(std::memory_order_relaxed))); }

  // The reactor's thread (by command()).
  void announce_close() { announced_ = true; }
  void close_port();
  void leave_port();
  void finish_idle();
  void cut();

  // The reactor's thread.
  bool answer(Ticket ticket, const Answer& answer);
  void abandon(Ticket ticket);
  bool is_waiting(Ticket ticket) noexcept { return table_.serving(ticket.connection, ticket.generation) != nullptr; }
  std::optional<AddressText> socket_peer(Ticket ticket) noexcept {
    const Connection* const c = table_.serving(ticket.connection, ticket.generation);
    return c == nullptr ? std::nullopt : peer_of(c->fd);
  }

 private:
  using State = Connection::State;
  using Task = std::function<void(Reactor&)>;

  Result<Nothing> install(Result<Listener> listener);

  // The loop (reactor.cpp).
  void run();
  int timeout_ms() const;
  void handle(const epoll_event& event);
  bool run_tasks();  // false: asked to stop
  void resume();
  void expire();
  void wake();

  // Memory that is not to be had costs the connection that wanted it, never the process.
  template <class F>
  void at_its_cost(const Connection& c, F&& work) {
    const std::uint32_t index = c.index;
    const std::uint32_t generation = c.generation;
    try {
      work();
    } catch (const std::bad_alloc&) {
      out_of_memory(index, generation);
    }
  }
  void out_of_memory(std::uint32_t index, std::uint32_t generation);

  // The port (reactor.cpp).
  void accept_some();
  void pause_accepting(int error);
  void mind_port();
  void shut_port();

  // Who is let in, and who must go for it (reactor_admission.cpp).
  void welcome(const Listener::Accepted& accepted);
  void give_place(Connection& c);
  const Refusal* shortage(const Connection& c) const;
  void to_reserve(Connection& c, const Refusal& why);
  void leave_reserve(Connection& c) noexcept;
  void count_anew(Connection& c);
  bool admit(Connection& c);
  bool give_up_one();
  bool given_up_if_quiet(Connection& c, std::string_view why);
  void tell_given_up(std::string_view why);
  bool free_slot();
  void turn_away_at_once(int fd);

  // One connection comes in (reactor_receive.cpp).
  void pump(Connection& c);
  bool receive(Connection& c);
  void use(Connection& c, HeldBytes data);
  std::size_t consume(Connection& c, std::string_view data);
  bool worth_scanning(const Connection& c, std::string_view rest) const noexcept;
  std::size_t consume_proxy(Connection& c, std::string_view data);
  void known(Connection& c, const AddressText& peer);
  std::size_t skip_body(Connection& c, std::size_t there);
  std::size_t begin_chunks(Connection& c, std::string_view rest);
  std::size_t consume_chunks(Connection& c, std::string_view rest);
  void begin_body(Connection& c, bool nothing_yet);
  static bool is_reading(const Connection& c) noexcept;
  void keep_rest(Connection& c, std::string_view rest);
  void settle(Connection& c);

  // Is served and answered (reactor_exchange.cpp).
  void ready(Connection& c, std::uint32_t events);
  Ticket begin_exchange(Connection& c);
  AddressText client_of(const Connection& c) const;
  static Behalf behalf_of(const Connection& c) noexcept;
  bool is_wanted(Connection& c, std::size_t missing);
  void serve(Connection& c, std::string_view request);
  void write_refusal(const Refusal& refusal);
  void refuse(Connection& c, const Refusal& refusal);
  void refuse_flatly(Connection& c);
  void transmit(Connection& c);
  void flush(Connection& c);
  void answered(Connection& c);
  void drop(Connection& c);
  void drop_unanswered(Connection& c);

  // Holds bytes (reactor_budget.cpp).
  bool hold(Connection& c, HeldBytes& where, std::string_view bytes, std::size_t expected);
  void refuse_to_hold(Connection& c);
  bool hold_answer(Connection& c, std::string_view bytes);
  bool make_room(const Connection& asker);
  void give_up(Connection& c);
  void mind_held(Connection& c);
  Refusal no_room() const noexcept;

  // And ends (reactor_linger.cpp).
  void say_goodbye(Connection& c);
  void discard(Connection& c);
  void hurry_lingering();
  void make_room_for_one();

  void want_resume(Connection& c);
  void set_busy(Connection& c, bool busy) noexcept;
  void set_deferred(Connection& c, bool deferred) noexcept;
  void count_rejected(std::string_view reason);
  // The counters have one writer: no locked instruction is needed.
  static void add(std::atomic<std::uint64_t>& counter, std::int64_t by) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(by), std::memory_order_relaxed);
  }

  static constexpr std::uint64_t kListenerTag = ~0ULL;
  static constexpr std::uint64_t kWakeTag = ~1ULL;

  Reactor& self_;
  const Options options_;
  Service& service_;
  const TimeSource& time_;
  Log& log_;
  Metrics& metrics_;
  const int epoll_;
  const int wake_;

  // Written by the loop, read by anybody.
  ReactorCounts counts_;
  std::atomic<Duration::rep> turned_;
  std::atomic<std::uint16_t> port_{0};
  std::atomic<bool> port_open_{false};

  // Written by anybody, read by the loop.
  std::mutex mutex_;
  std::vector<Task> tasks_;  // guarded by mutex_
  bool stopped_ = false;     // guarded by mutex_
  std::atomic<bool> woken_{false};

  // The loop's own.
  TimePoint now_;
  BufferBudget budget_;
  ConnectionTable table_;
  ConnectionCensus census_;                 // of those that are in: neither in the reserve nor lingering
  std::size_t reserved_ = 0;
  std::optional<TimePoint> given_up_told_;
  Listener listener_;
  std::optional<TimePoint> closing_since_;  // the port is being closed
  std::optional<TimePoint> paused_until_;   // no files: nothing is accepted before
  bool announced_ = false;
  bool finishing_ = false;
  bool served_ = false;                     // in this turn
  std::size_t lingering_ = 0;               // connections
  int turn_left_ = 0;                       // requests, for the connection being pumped
  std::optional<std::string> refusing_;
  const Connection* pumping_ = nullptr;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> to_resume_;  // index, generation
  std::vector<std::pair<std::string, Counter>> rejected_;

  DeadlineList progress_{Duration::zero()};  // an order, not deadlines: who got on longest ago comes first
  DeadlineList quiet_wait_;    // from accepting to the first byte
  DeadlineList reserve_wait_;  // of one in the reserve, to the end of its head
  DeadlineList head_wait_;     // from the first byte to the end of the head
  DeadlineList body_wait_;
  DeadlineList request_wait_;
  DeadlineList idle_wait_;
  DeadlineList write_wait_;
  DeadlineList linger_;          // in all
  DeadlineList linger_leaving_;  // in all, while leaving
  DeadlineList linger_quiet_;    // between two reads

  AnswerWriter writer_;
  Head head_;
  std::string reply_;
  std::string decoded_;
  std::array<char, 65'536> scratch_;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace ratchet::http
