// Runs the real engine (scheduler, block manager, forward pass, sampler) on B equal requests and
// measures it beside this machine's limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "bench/e2e_limits.h"
#include "parallel/communicator.h"
#include "worker/group.h"

namespace phalanx {

struct E2eShape {
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 64;  // at least 2: the first comes from prefill
  int32_t batch = 1;
};

// Of one round of `batch` requests, on rank 0.
struct E2eRound {
  double prefill_s = 0;  // until every request has its first token
  // When the first token of the first request that had one was there.
  std::chrono::steady_clock::time_point first_token{};
  double prefill_comm_s = 0;   // of that, inside collectives on rank 0
  std::vector<double> step_s;  // decode steps with the whole batch
  double decode_comm_s = 0;    // inside collectives on rank 0, of the sum of step_s
  // Read bandwidth of all ranks at once, GB/s, one for each stretch of decode steps, and the median
  // step of that stretch.
  std::vector<double> probe_gb_per_s;
  std::vector<double> stretch_step_s;
};

// Collective. Rank 0 gets the round; on the others it is empty. `probe` is this rank's; null on all
// ranks: nothing is read between the stretches.
StatusOr<E2eRound> RunRound(const E2eShape& shape, uint64_t first_request_id, Engine& engine,
                            Communicator& communicator, LimitsProbe* probe);

// Sum of every rank's `value`, on every rank.
StatusOr<double> SumOverRanks(Communicator& communicator, double value);

double Median(std::vector<double> values);  // 0 where empty

}  // namespace phalanx
