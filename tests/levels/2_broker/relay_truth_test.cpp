// Everything committed is published, in order per key, whatever is killed and whenever.
#include <atomic>
#include <random>
#include <thread>

#include "tests/levels/2_broker/relay_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

constexpr int kWriters = 12;

// Commits events of its own keys, with rollbacks and savepoints between, until told to stop.
class Writer {
 public:
  Writer(const Postgres& server, int number)
      : sql_(server, "app"), number_(number), random_(static_cast<unsigned>(number)) {}

  void one() {
    int key = static_cast<int>(random_() % 3);
    std::string name = "w" + std::to_string(number_) + "-" + std::to_string(key);
    long& next = next_[key];
    bool rolls_back = random_() % 5 == 0;
    std::vector<std::string> mine;
    auto emit = [&] {
      std::string value = name + "/" + std::to_string(next++);
      sql_.emit("orders", name, value);
      mine.push_back(value);
    };
    sql_.ask("begin");
    for (auto i = random_() % 4; i > 0; --i)
      emit();
    if (random_() % 3 == 0) {
      sql_.ask("savepoint s");
      auto kept = mine.size();
      emit();
      if (random_() % 2 == 0) {
        sql_.ask("rollback to s");
        mine.resize(kept);
      }
      emit();
    }
    sql_.ask(rolls_back ? "rollback" : "commit");
    if (!rolls_back) committed.insert(mine.begin(), mine.end());
  }

  std::set<std::string> committed;

 private:
  Sql sql_;
  int number_;
  std::minstd_rand random_;
  std::map<int, long> next_;
};

}  // namespace

TEST_CASE("relay: committed equals published, no key's order inverted, through deaths at random steps") {
  Servers servers;
  servers.kafka.create_topic("orders", 4);
  auto tuning = quick();
  tuning.ttl = 1s;
  tuning.beat = 300ms;
  tuning.save = 20ms;
  tuning.page = 50;
  std::vector<std::unique_ptr<Instance>> instances;
  for (const char* name : {"one", "two"})
    instances.push_back(std::make_unique<Instance>(servers, name, tuning));
  for (auto& instance : instances)
    instance->start({"orders"});
  Sql owner(servers.postgres, "postgres");

  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < kWriters; ++i)
    writers.push_back(std::make_unique<Writer>(servers.postgres, i));
  std::atomic<bool> enough{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (auto& writer : writers) {
    threads.emplace_back([&enough, &failed, &writer = *writer] {
      try {
        while (!enough)
          writer.one();
      } catch (const std::exception&) {
        ++failed;
      }
    });
  }

  std::minstd_rand random(20261121);
  RealTime time;
  int deaths = 0, rotations = 0;
  double progress = 0;
  auto published = [&] {
    return instances[0]->metric("ratchet_relay_published_total") +
           instances[1]->metric("ratchet_relay_published_total");
  };
  for (auto end = time.now() + 12s; time.now() < end; ++deaths) {
    // The next death comes after some more events, so that it hits any step and yet there is progress.
    progress = published() + static_cast<double>(random() % 300);
    eventually([&] { return published() >= progress || time.now() >= end; });
    Instance& victim = *instances[random() % 2];
    switch (random() % 4) {
      case 0:  // its connections die
        servers.postgres.terminate_backends("application_name = 'ratchetd " +
                                            std::string(&victim == instances[0].get() ? "one" : "two") + "'");
        break;
      case 1:  // it dies without a word
        victim.stop(Leave::fault, 0s);
        victim.start({"orders"});
        break;
      case 2:  // everything in flight is taken back
        if (victim.producer) victim.producer->purge();
        break;
      default:  // it stops in order
        victim.stop(Leave::asked, kGenerous);
        victim.start({"orders"});
        break;
    }
    // Rotates by size, so that reclaiming has something to truncate.
    if (owner.ask("update ratchet.ring set since = since - interval '10 min' returning slot") != "") ++rotations;
  }
  enough = true;
  for (auto& thread : threads)
    thread.join();
  REQUIRE(failed == 0);

  REQUIRE(eventually([&] { return owner.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; }));
  std::set<std::string> committed;
  for (auto& writer : writers)
    committed.insert(writer->committed.begin(), writer->committed.end());
  auto found = arrived(servers.kafka, "orders");
  INFO(committed.size() << " committed, " << found.records << " records, " << deaths << " deaths, " << rotations
                        << " rotations");
  CHECK(committed.size() > 1000);
  CHECK(deaths > 5);
  CHECK(found.values == committed);
  CHECK(found.inversions == 0);
  CHECK(owner.ask("select count(*) from ratchet.dead_letter") == "0");
  // Reclaiming goes on, too: a relay that is left alone gets to it, however often it died before.
  CHECK(eventually([&] {
    owner.ask("update ratchet.ring set since = since - interval '10 min' returning slot");
    return std::stoul(owner.ask("select count(*) from ratchet.outbox")) < committed.size();
  }));
  WARN(committed.size() << " committed, " << found.records << " records, " << deaths << " deaths");
}
