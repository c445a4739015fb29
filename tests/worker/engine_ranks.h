// Ranks with the real engine as threads of one process: scheduler, block manager, forward pass and
// sampler, everything but the network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <vector>

#include "kernels/backend_factory.h"
#include "worker/engine.h"

namespace phalanx {

// The bits of a token's log-probabilities: the token, its log-probability and rank, then the
// alternatives.
using LogprobBits = std::vector<uint32_t>;

// What a request has got so far.
struct Answer {
  std::vector<int32_t> tokens;
  std::vector<LogprobBits> logprobs;  // one per token
  std::vector<LogprobBits> prompt;    // one per prompt token, where asked for
  int32_t first_index = 0;            // above 0 where output was replayed
  int32_t cached_tokens = 0;
  Status status;
};
using Answers = std::map<uint64_t, Answer>;

struct EngineModel {
  Qwen2Config config{};
  std::filesystem::path model_dir{};  // empty: dummy weights of the config's shape
  int ranks = 1;
  BackendOptions backend = {.num_threads = 1};
  int64_t num_blocks = 200;      // of the KV pool
  int32_t max_num_tokens = 512;  // the largest step
};

// Two layers with random weights, a vocabulary of 500, a context of 512; the end of text is 499.
Qwen2Config SmallConfig();

// One engine's life on a model that is loaded once. `leader` is rank 0's side; the engine is shut
// down after it.
struct EngineRun {
  enum class WarmUp : uint8_t { kNo, kYes } warm_up = WarmUp::kNo;
  int32_t max_num_tokens = 64;
  int64_t num_blocks = 200;  // at most the pool's
  int32_t max_num_seqs = 16;
  PrefixCaching prefix_caching = PrefixCaching::kOff;
  std::function<void(Engine&)> leader{};
};

// Fails the current test where a rank fails.
void RunEngines(const EngineModel& model, const std::vector<EngineRun>& runs);

// One step; its tokens are appended to the answers.
void StepOnce(Engine& engine, Answers& answers);
// Steps until nothing is left to do.
void Finish(Engine& engine, Answers& answers);

}  // namespace phalanx
