#include "parallel/wait_policy.h"

#include <unistd.h>

namespace phalanx {

WaitPolicy MakeWaitPolicy(int num_ranks, int threads_per_rank) {
  // The host's cores, not this process's affinity mask: launchers pin each rank to its own.
  const long num_cores = sysconf(_SC_NPROCESSORS_ONLN);
  WaitPolicy policy;
  if (static_cast<long>(num_ranks) * threads_per_rank <= num_cores) {
    // Longer than ranks usually drift apart between two collectives, and a fifth of what a client
    // would notice; an idle rank wakes about once a second, so its cost is nil.
    policy.spin = std::chrono::microseconds(200);
    policy.yields = 0;
  }
  return policy;
}

}  // namespace phalanx
