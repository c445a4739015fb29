// How long a device takes for what is enqueued on a backend's queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/backend.h"

namespace phalanx {

class RunClock {
 public:
  using Run = std::function<Status(int64_t run)>;
  virtual ~RunClock() = default;
  // Of all of these together, one behind the other; between 1 and most_runs().
  virtual StatusOr<double> SecondsOf(const Run& run, int64_t runs) = 0;
  virtual int64_t most_runs() const = 0;
};

// By the host's clock, from the first call to the end of the last. On a GPU by its own: the runs
// are enqueued while it is held up, so that what is shorter than a launch takes the host is
// measured, too. `backend` outlives it.
StatusOr<std::unique_ptr<RunClock>> CreateRunClock(Backend& backend);

}  // namespace phalanx
