// N ranks of a model as threads of one process, and greedy generation on them without a scheduler:
// what the tests and the parity scripts drive.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend_factory.h"
#include "model/model.h"
#include "parallel/thread_group.h"

namespace phalanx::testing {

struct GroupOptions {
  int num_ranks = 1;
  std::filesystem::path model_dir;  // unused for dummy weights
  Qwen2Config config;
  ModelOptions model;
  BackendOptions backend = {.num_threads = 1};
  int64_t num_sequences = 4;  // the KV pool holds as many of max_sequence_tokens
  int64_t max_sequence_tokens = 256;
};

struct Rank {
  std::unique_ptr<Communicator> communicator;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Qwen2Model> model;
};

// New tokens of one sequence.
struct Piece {
  int32_t sequence = 0;  // its place in the KV pool
  int32_t start = 0;     // position of tokens[0]
  std::vector<int32_t> tokens;
  enum class Want : uint8_t { kNothing, kLast, kAll } want = Want::kLast;
};

using Row = std::vector<float>;

class ModelGroup {
 public:
  static StatusOr<std::unique_ptr<ModelGroup>> Load(const GroupOptions& options);

  int num_ranks() const { return static_cast<int>(ranks_.size()); }
  Rank& rank(int r) { return ranks_[static_cast<size_t>(r)]; }

  // One step on all ranks; the wanted rows' logits, whole, in order of the pieces.
  StatusOr<std::vector<Row>> Step(const std::vector<Piece>& pieces);

  struct Generation {
    std::vector<int32_t> tokens;
    std::vector<float> margins;      // log-probability of the best minus that of the second
    std::vector<Row> prompt_logits;  // of the prompt's rows, where asked for
  };
  enum class PromptLogits : uint8_t { kNo, kYes };
  // Greedy, all prompts in one batch, each prompt in chunks of at most `chunk` tokens.
  StatusOr<std::vector<Generation>> Generate(const std::vector<std::vector<int32_t>>& prompts,
                                             int max_tokens, int64_t chunk,
                                             PromptLogits prompt_logits);

 private:
  explicit ModelGroup(const GroupOptions& options) : options_(options) {}
  // Calls `work` for each rank on a thread of its own; the first error.
  Status OnAllRanks(const std::function<Status(int, Rank&)>& work);

  GroupOptions options_;
  std::vector<Rank> ranks_;
};

// Index of the largest, the lowest where several are; its lead in log-probability over the next.
struct Best {
  int32_t id = 0;
  float margin = 0.0F;
};
Best GreedyChoice(const Row& logits);

}  // namespace phalanx::testing
