// Ranks without a model, for tests of the scheduler. The KV of a token is a hash of the cache salt
// and of all tokens up to it, kept in a fake paged pool, so any slip of a block table, of the
// prefix cache or of the order of writes changes what later tokens see. The next token is a
// function of the KV at its position alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "worker/scheduler.h"

namespace phalanx {

// What a request must produce, however it is scheduled.
struct ExpectedOutput {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kNone;
};
ExpectedOutput Expect(const EngineRequest& request, int32_t vocab_size);

class FakeRanks {
 public:
  FakeRanks(const SchedulerConfig& config, std::function<std::string(int32_t slot)> salt_of_slot);

  // Runs the plan as it came over a wire. Fails the current test where the plan is not valid, a
  // context differs from the sequence's tokens, or logits are asked for in the wrong places.
  std::vector<SampledToken> Run(const StepPlan& plan);

 private:
  struct Slot {
    SamplingParams params;
    std::vector<int32_t> tokens;  // prompt and output
    size_t num_prompt = 0;
    size_t num_run = 0;  // tokens run since the slot was initialised, cached ones included
    bool is_fresh = false;
    bool awaits_forced = false;  // it was not sampled although all its tokens had run
  };
  uint64_t& KvAt(const SequenceWork& work, size_t position);
  void RunWork(const SequenceWork& work, std::vector<SampledToken>& samples);
  void CheckLogits(const SequenceWork& work, Slot& slot) const;

  SchedulerConfig config_;
  std::function<std::string(int32_t)> salt_of_slot_;
  std::vector<uint64_t> kv_;  // [num_blocks, block_size]
  std::vector<Slot> slots_;
};

}  // namespace phalanx
