#include "levels/0_baseline/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>
#include <utility>

namespace ratchet {

void Counter::add(double n) const noexcept {
  if (inside_ != nullptr) inside_->Increment(n);
}
double Counter::value() const noexcept { return inside_ != nullptr ? inside_->Value() : 0; }

void Gauge::set(double value) const noexcept {
  if (inside_ != nullptr) inside_->Set(value);
}
void Gauge::add(double delta) const noexcept {
  if (inside_ != nullptr) inside_->Increment(delta);
}

struct MeasuredGauge::Inside {
  prometheus::Family<prometheus::Gauge>& family;
  const Labels labels;
  std::mutex mutex;
  prometheus::Gauge* series = nullptr;  // with mutex; null: not known
};

void MeasuredGauge::set(double value) const {
  if (inside_ == nullptr) return;
  std::lock_guard lock(inside_->mutex);
  if (inside_->series == nullptr) inside_->series = &inside_->family.Add(inside_->labels);
  inside_->series->Set(value);
}
void MeasuredGauge::forget() const {
  if (inside_ == nullptr) return;
  std::lock_guard lock(inside_->mutex);
  if (inside_->series != nullptr) inside_->family.Remove(std::exchange(inside_->series, nullptr));
}

void Histogram::observe(double value) const noexcept {
  if (inside_ != nullptr) inside_->Observe(value);
}

// The registry merges by name and the families by labels, both under their own locks.
struct Metrics::Inside {
  prometheus::Registry registry;
  std::mutex mutex;
  std::vector<std::function<void()>> refreshers;  // protected by mutex
};

Metrics::Metrics() : inside_(std::make_unique<Inside>()) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return Counter(&prometheus::BuildCounter().Name(name).Help(help).Register(inside_->registry).Add(labels));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(&prometheus::BuildGauge().Name(name).Help(help).Register(inside_->registry).Add(labels));
}

MeasuredGauge Metrics::measured(const std::string& name, const std::string& help, const Labels& labels) {
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(inside_->registry);
  return MeasuredGauge(std::shared_ptr<MeasuredGauge::Inside>(new MeasuredGauge::Inside{family, labels, {}, nullptr}));
}

Histogram Metrics::histogram(const std::string& name, const std::string& help, const Labels& labels,
                             const std::vector<double>& buckets) {
  return Histogram(
      &prometheus::BuildHistogram().Name(name).Help(help).Register(inside_->registry).Add(labels, buckets));
}

Counter Metrics::rejected(const std::string& reason) {
  return counter("ratchet_rejected_total", "Requests and connections turned away by a limit", {{"reason", reason}});
}

void Metrics::before_render(std::function<void()> refresh) {
  std::lock_guard lock(inside_->mutex);
  inside_->refreshers.push_back(std::move(refresh));
}

// One rendering at a time: refreshers may keep state. They may ask for series, but not add refreshers.
std::string Metrics::render() {
  std::lock_guard lock(inside_->mutex);
  for (const auto& refresh : inside_->refreshers)
    refresh();
  return prometheus::TextSerializer().Serialize(inside_->registry.Collect());
}

}  // namespace ratchet
