// cpp-httplib as it comes, with 64 threads, TCP_NODELAY and endless keep-alive: answers what reactor_bench answers.
//   httplib PORT
#include <httplib.h>

#include <cstdlib>

int main(int, char** argv) {
  httplib::Server server;
  server.new_task_queue = [] { return new httplib::ThreadPool(64); };
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(1'000'000'000);
  const auto answer = [](const httplib::Request&, httplib::Response& response) {
    response.status = 202;
    response.set_content("{\"id\":\"0191d2a0-7b1c-7def-8a2b-0123456789ab\"}", "application/json");
  };
  server.Get("/", answer);
  server.Post("/", answer);
  return server.listen("127.0.0.1", std::atoi(argv[1])) ? 0 : 1;
}
