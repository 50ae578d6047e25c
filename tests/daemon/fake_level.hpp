// A level that does what the test tells it, and writes down what was asked of it. One journal for all levels shows
// the order.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "levels/core/level.hpp"

namespace ratchet::tests {

// Waits for a state, not for a time: generous, because the machine may be busy.
inline bool eventually(const std::function<bool()>& reached, std::chrono::seconds at_most = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class Journal {
 public:
  void add(std::string line) {
    std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> lines() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  std::size_t count(const std::string& line) const {
    std::size_t n = 0;
    for (const auto& l : lines())
      if (l == line) ++n;
    return n;
  }
  bool has(const std::string& line) const { return count(line) > 0; }
  void clear() {
    std::lock_guard lock(mutex_);
    lines_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

class FakeLevel final : public Level {
 public:
  // How a raise, probe or drain behaves from now on.
  enum class Manner {
    well,   // at once, with success
    fails,  // at once, with `fault`
    waits,  // until its patience is over; a raise then fails as cancelled
    hangs,  // looks at nothing until `let_go`
  };

  FakeLevel(int number, std::string name, const TimeSource& time, Journal& journal)
      : number_(number), name_(std::move(name)), time_(time), journal_(journal) {}
  ~FakeLevel() override { let_go(); }

  std::string_view name() const noexcept override { return name_; }
  Duration raise_patience() const noexcept override { return std::chrono::seconds(10); }
  ProbePlan probe_plan() const noexcept override {
    return {std::chrono::seconds(1), std::chrono::milliseconds(750), 2};
  }

  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override {
    note("raise");
    const Manner manner = get(raising_);
    if (manner == Manner::waits) {
      wait_out(patience, [this] { return get(raising_) == Manner::well; });
      if (get(raising_) != Manner::well)
        return Fault{number_, incarnation, FaultKind::cancelled, "gave up", time_.now()};
    }
    if (manner == Manner::hangs) hang();
    if (manner == Manner::fails) return with_incarnation(get(fault_), incarnation);
    set(incarnation_, incarnation);
    return std::unique_ptr<HeldLevel>(std::make_unique<Held>(*this));
  }

  void raises(Manner manner) { set(raising_, manner); }
  void raises_fail(FaultKind kind, std::string text) {
    set(fault_, Fault{number_, 0, kind, std::move(text), {}});
    set(raising_, Manner::fails);
  }
  void probes(Manner manner) { set(probing_, manner); }
  void drains(Manner manner) { set(draining_, manner); }
  void on_drain(std::function<void()> look) { set(on_drain_, std::move(look)); }  // called as a drain begins
  void degraded(std::optional<std::string> text) { set(degraded_, std::move(text)); }
  void doubt() {  // something looks wrong
    if (const auto probe_soon = get(probe_soon_)) probe_soon();
  }
  void let_go() {
    std::lock_guard lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
  }

  Incarnation incarnation() const { return get(incarnation_); }  // of the latest success
  TimePoint drain_deadline() const { return get(drain_deadline_); }
  // A fault of the incarnation that is held.
  Fault fault(FaultKind kind, std::string text) const {
    return {number_, incarnation(), kind, std::move(text), time_.now()};
  }

 private:
  class Held final : public HeldLevel {
   public:
    explicit Held(FakeLevel& level) : level_(level) {}
    ~Held() override { level_.note("release"); }
    std::optional<Fault> probe(Patience& patience) override {
      level_.note("probe");
      const Manner manner = level_.get(level_.probing_);
      if (manner == Manner::waits) level_.wait_out(patience, [] { return false; });
      if (manner == Manner::hangs) level_.hang();
      if (manner == Manner::well) return std::nullopt;
      return Fault{0, 0, FaultKind::timed_out, level_.name_ + ": no answer", level_.time_.now()};
    }
    void drain(Patience& patience, Leave leave) override {
      level_.set(level_.drain_deadline_, patience.deadline());
      if (const auto look = level_.get(level_.on_drain_)) look();
      level_.note(leave == Leave::asked ? "drain asked" : "drain fault");
      const Manner manner = level_.get(level_.draining_);
      if (manner == Manner::waits) level_.wait_out(patience, [] { return false; });
      if (manner == Manner::hangs) level_.hang();
      level_.set(level_.drain_deadline_, patience.deadline());
    }
    std::optional<std::string> degraded() const override { return level_.get(level_.degraded_); }
    void on_doubt(const std::function<void()>& probe_soon) override { level_.set(level_.probe_soon_, probe_soon); }

   private:
    FakeLevel& level_;
  };

  template <class T>
  T get(const T& member) const {
    std::lock_guard lock(mutex_);
    return member;
  }
  template <class T>
  void set(T& member, T value) {
    std::lock_guard lock(mutex_);
    member = std::move(value);
  }
  static Fault with_incarnation(Fault fault, Incarnation incarnation) {
    fault.incarnation = incarnation;
    return fault;
  }
  void note(const std::string& what) { journal_.add(what + " " + std::to_string(number_)); }
  // Longer than any test waits: an end that only comes by this is a failed test.
  void wait_out(Patience& patience, const std::function<bool()>& otherwise) {
    eventually([&] { return patience.over(time_.now()) || get(let_go_) || otherwise(); }, std::chrono::seconds(120));
  }
  void hang() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(120), [this] { return let_go_; });
  }

  const int number_;
  const std::string name_;
  const TimeSource& time_;
  Journal& journal_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // protected by mutex_
  Manner raising_ = Manner::well, probing_ = Manner::well, draining_ = Manner::well;
  Fault fault_;
  Incarnation incarnation_ = 0;
  TimePoint drain_deadline_{};
  std::function<void()> on_drain_;
  std::function<void()> probe_soon_;
  std::optional<std::string> degraded_;
  bool let_go_ = false;
};

}  // namespace ratchet::tests
