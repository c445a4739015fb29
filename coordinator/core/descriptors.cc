#include "coordinator/core/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

namespace phalanx {

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
  return limit.rlim_cur;
}

size_t ConnectionsWithin(size_t max_connections, size_t num_descriptors) {
  constexpr size_t kReserve = 512;
  const size_t left =
      num_descriptors > 2 * kReserve ? num_descriptors - kReserve : num_descriptors / 2;
  return std::min(max_connections, std::max<size_t>(left, 1));
}

}  // namespace phalanx
