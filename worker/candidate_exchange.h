// What the ranks tell each other in one step of sampling: per task a record and the candidates of
// each vocabulary shard, all in one AllGather. Afterwards every rank holds the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/candidates.h"
#include "parallel/communicator.h"
#include "parallel/shard_spec.h"
#include "worker/token_filter.h"

namespace phalanx {

// What one shard says about one task, besides its candidates.
struct TaskRecord {
  double sum_exp = 0.0;
  double gumbel_score = 0.0;
  int64_t num_nan = 0;
  float max = 0.0F;
  float target_logit = 0.0F;  // prompt rows: of the token that follows, from the rank that holds it
  TokenCandidate gumbel{};
  int32_t padding = 0;
};

class CandidateExchange {
 public:
  // `shards`: the vocabulary ranges of all ranks. They and the communicator must outlive it.
  CandidateExchange(std::span<const Range> shards, Communicator& communicator)
      : shards_(shards), communicator_(communicator) {}

  // A new step: makes room for a record of each task and its top_k candidates, all empty. `tasks`
  // must outlive the step.
  void Start(std::span<const CandidateTask> tasks);
  // This rank's part, to be filled before Gather().
  TaskRecord& mine(size_t task);
  std::span<TokenCandidate> my_candidates(size_t task);
  // Sends this rank's part, receives everybody's.
  Status Gather();

  size_t num_shards() const { return shards_.size(); }
  const TaskRecord& record(size_t shard, size_t task) const;
  // The task's candidates of all shards; valid until the next call.
  std::span<const CandidateList> Lists(size_t task);
  TotalMass Mass(size_t task, double inv_temperature);
  int64_t NumNan(size_t task) const;

 private:
  std::span<const Range> shards_;
  Communicator& communicator_;
  std::span<const CandidateTask> tasks_;
  std::vector<size_t> first_candidate_;  // per task, among a shard's candidates
  std::vector<std::byte> send_, recv_;   // a shard's records, then its candidates
  std::vector<CandidateList> lists_;
  std::vector<ShardMass> masses_;
};

// Gathers a whole row of the logits, for the rare mass that lies beyond the candidates.
class RowGather {
 public:
  // As for CandidateExchange.
  RowGather(std::span<const Range> shards, Communicator& communicator)
      : shards_(shards), communicator_(communicator) {}

  // `rows`: this rank's columns of the adjusted row and, where raw logits are of interest and
  // differ, of the raw one; as many on every rank. The tokens that can be chosen, in descending
  // order, ties by lower id; valid until the next call.
  StatusOr<std::span<const TokenCandidate>> Gather(
      std::initializer_list<std::span<const float>> rows);

 private:
  std::span<const Range> shards_;
  Communicator& communicator_;
  std::vector<float> send_, recv_;
  std::vector<TokenCandidate> tokens_;
};

}  // namespace phalanx
