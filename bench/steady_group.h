// A worker group that needs no model: every request gets one token a step, all in one message, as a
// real group's answers come.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "tests/testing/fake_engine.h"

namespace phalanx::bench {

struct SteadyGroupOptions {
  std::string socket;
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
  int32_t max_num_seqs = 64;
  int logprobs = -1;  // alternatives a token; -1: no log-probabilities
};

class SteadyGroup {
 public:
  // Attached once it is there. A request for one token is answered at once.
  explicit SteadyGroup(const SteadyGroupOptions& options);

  void WaitForRequests(size_t count);
  void WaitForCancels(int64_t count);  // since the start
  // `steps` tokens for each of the requests that are there, the last of them ends it.
  void Run(int32_t steps, int step_us);

 private:
  void OnSubmit(const internal::Submit& submit);
  void OnCancel(uint64_t request);
  internal::RequestOutput Token(uint64_t request, int32_t index, internal::EngineFinish finish);

  const SteadyGroupOptions options_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<uint64_t> requests_;
  int64_t num_cancels_ = 0;
  testing::FakeEngine engine_;
};

}  // namespace phalanx::bench
