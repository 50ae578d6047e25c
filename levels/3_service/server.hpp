// The service port: a reactor whose requests go to health, to the routes, or to a problem. Commit outcomes come
// back here and become answers.
#pragma once

#include <memory>

#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/1_database/group_commit.hpp"
#include "levels/2_broker/level.hpp"
#include "levels/2_broker/relay.hpp"

namespace ratchet::service {

class Server final : public db::CommitSink {
 public:
  struct Parts {
    const Settings& settings;
    const StatusBoard& board;
    Health& health;
    db::GroupCommit& commits;
    const kafka::Relay& relay;
    const kafka::RecordLimits& record_limits;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    std::function<double()> chance;
  };
  explicit Server(Parts parts);
  ~Server() override;

  Result<Nothing> open();                     // level 3's raise: binds, listens, serves
  http::Reactor* reactor() noexcept;          // null while closed
  void close();                               // whatever is left is cut

  void finished(std::unique_ptr<db::FinishedBatch> batch) override;  // committer's thread

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::service
