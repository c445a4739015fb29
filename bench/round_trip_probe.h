// What a request and its answer cost two processes that do nothing else, over a socket of this
// machine, while whatever is measured goes on: each waits for a core like everybody else.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/http_client.h"

namespace phalanx::bench {

// Asks its child process fifty times a second.
class RoundTripProbe {
 public:
  RoundTripProbe();  // forks, so before any other thread
  ~RoundTripProbe();
  RoundTripProbe(const RoundTripProbe&) = delete;
  RoundTripProbe& operator=(const RoundTripProbe&) = delete;

  // Since the last call.
  Latency Take();

 private:
  void Run();

  int socket_ = -1;
  pid_t child_ = -1;
  std::atomic<bool> stopping_ = false;
  std::mutex mu_;
  std::vector<double> times_us_;
  std::thread thread_;
};

}  // namespace phalanx::bench
