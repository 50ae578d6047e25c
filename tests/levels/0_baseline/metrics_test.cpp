#include "levels/0_baseline/metrics.hpp"

#include <thread>
#include <vector>

#include "levels/0_baseline/history.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;

TEST_CASE("metrics: the same name and labels are the same series") {
  Metrics metrics;
  const Counter a = metrics.counter("ratchet_things_total", "Things", {{"kind", "x"}});
  const Counter b = metrics.counter("ratchet_things_total", "another help", {{"kind", "x"}});
  const Counter c = metrics.counter("ratchet_things_total", "Things", {{"kind", "y"}});
  a.add();
  b.add(2);
  CHECK(a.value() == 3);
  CHECK(c.value() == 0);
  const std::string text = metrics.render();
  CHECK(text.find("# HELP ratchet_things_total Things\n# TYPE ratchet_things_total counter\n") != std::string::npos);
  CHECK(text.find("ratchet_things_total{kind=\"x\"} 3\n") != std::string::npos);
  CHECK(text.find("ratchet_things_total{kind=\"y\"} 0\n") != std::string::npos);
  CHECK(text.find("another help") == std::string::npos);
}

TEST_CASE("metrics: label values are escaped") {
  Metrics metrics;
  metrics.gauge("g", "G", {{"text", "a\"b\\c\nd"}}).set(1.5);
  CHECK(metrics.render().find("g{text=\"a\\\"b\\\\c\\nd\"} 1.5\n") != std::string::npos);
}

TEST_CASE("metrics: histograms have cumulative buckets, a sum and a count") {
  Metrics metrics;
  const Histogram h = metrics.histogram("seconds", "S", {}, {0.1, 1});
  h.observe(0.05);
  h.observe(0.5);
  h.observe(5);
  const std::string text = metrics.render();
  CHECK(text.find("seconds_bucket{le=\"0.1\"} 1\n") != std::string::npos);
  CHECK(text.find("seconds_bucket{le=\"1\"} 2\n") != std::string::npos);
  CHECK(text.find("seconds_bucket{le=\"+Inf\"} 3\n") != std::string::npos);
  CHECK(text.find("seconds_count 3\n") != std::string::npos);
}

TEST_CASE("metrics: a refresher runs before each rendering and may ask for series itself") {
  Metrics metrics;
  int calls = 0;
  metrics.before_render([&] { metrics.gauge("read", "R").set(++calls); });
  CHECK(metrics.render().find("read 1\n") != std::string::npos);
  CHECK(metrics.render().find("read 2\n") != std::string::npos);
}

TEST_CASE("metrics: what was not measured is absent, and absent again once it is not known any more") {
  Metrics metrics;
  const MeasuredGauge rows = metrics.measured("rows", "Rows", {{"pool", "main"}});
  CHECK(metrics.render().find("rows") == std::string::npos);
  rows.set(0);
  CHECK(metrics.render().find("# TYPE rows gauge\nrows{pool=\"main\"} 0\n") != std::string::npos);
  const MeasuredGauge copy = rows;
  copy.set(7);
  CHECK(metrics.render().find("rows{pool=\"main\"} 7\n") != std::string::npos);
  rows.forget();
  rows.forget();
  CHECK(metrics.render().find("rows") == std::string::npos);
  copy.set(2);
  CHECK(metrics.render().find("rows{pool=\"main\"} 2\n") != std::string::npos);
}

TEST_CASE("metrics: nothing is lost between threads") {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i)
        metrics.rejected("queue-full").add();
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(metrics.rejected("queue-full").value() == 4000);
  CHECK(metrics.render().find("ratchet_rejected_total{reason=\"queue-full\"} 4000\n") != std::string::npos);
}

TEST_CASE("metrics: a handle that was never made does nothing") {
  Counter().add();
  Gauge().set(1);
  MeasuredGauge().set(1);
  MeasuredGauge().forget();
  Histogram().observe(1);
  CHECK(Counter().value() == 0);
}

TEST_CASE("history: keeps the latest, oldest first") {
  History history(3);
  for (int i = 0; i < 5; ++i)
    history.add({WallTime(), "raised", i, ""});
  const auto list = history.list();
  REQUIRE(list.size() == 3);
  CHECK(list.front().level == 2);
  CHECK(list.back().level == 4);
}
