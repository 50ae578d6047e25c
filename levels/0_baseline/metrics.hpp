// Counters, gauges and histograms (prometheus-cpp's core behind this wall), rendered as Prometheus text.
// Handles are cheap to copy, valid as long as Metrics lives, and may be used from any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace ratchet {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  explicit Counter(prometheus::Counter* inside = nullptr) noexcept : inside_(inside) {}
  void add(double n = 1) const noexcept;
  double value() const noexcept;

 private:
  prometheus::Counter* inside_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge* inside = nullptr) noexcept : inside_(inside) {}
  void set(double value) const noexcept;
  void add(double delta) const noexcept;

 private:
  prometheus::Gauge* inside_;
};

// A gauge of what is measured, now and then: its series is there only while its value is known. Not measured is absent,
// never 0.
class MeasuredGauge {
 public:
  MeasuredGauge() = default;  // does nothing
  void set(double value) const;
  void forget() const;  // not known any more: the series goes

 private:
  friend class Metrics;
  struct Inside;
  explicit MeasuredGauge(std::shared_ptr<Inside> inside) : inside_(std::move(inside)) {}
  std::shared_ptr<Inside> inside_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram* inside = nullptr) noexcept : inside_(inside) {}
  void observe(double value) const noexcept;

 private:
  prometheus::Histogram* inside_;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // The same name and labels give the same series. `help` counts only at first use of the name. Any thread, but
  // not for hot paths: keep the handle.
  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  MeasuredGauge measured(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram histogram(const std::string& name, const std::string& help, const Labels& labels,
                      const std::vector<double>& buckets);

  // `ratchet_rejected_total{reason}`: every limit, counted by its name.
  Counter rejected(const std::string& reason);

  // Called before each rendering, one at a time, to set gauges that are read rather than counted. May ask for series,
  // not for refreshers.
  void before_render(std::function<void()> refresh);
  std::string render();  // text format 0.0.4

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
