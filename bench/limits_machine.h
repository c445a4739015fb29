// What the two machines have apart, for the probe that measures them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bench/device_limits.h"
#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

struct MachineFacts {
  std::string name;
  int64_t memory_bytes = 0;
  int driver_cuda = 0;  // as in DeviceLimits
  int runtime_cuda = 0;
};

// How much is done in one measurement.
struct ProbeSizes {
  int64_t least_bytes = 0;  // of the buffer, far beyond the caches
  int64_t most_bytes = 0;
  int tensor_rounds = 0;  // long enough for the host to enqueue `num_launches` meanwhile
  int num_launches = 0;
  int num_passes = 0;
  double warm_up_seconds = 0;
};

class LimitsMachine {
 public:
  virtual ~LimitsMachine() = default;
  virtual Device& device() = 0;
  virtual StatusOr<MachineFacts> facts() const = 0;
  virtual ProbeSizes sizes() const = 0;
  // Of an empty kernel as a node of a graph that is replayed; none where there are no graphs.
  virtual StatusOr<std::optional<double>> SecondsOfGraphNode() = 0;
};

// RESOURCE_EXHAUSTED without memory for its buffer.
StatusOr<std::unique_ptr<DeviceProbe>> CreateProbe(std::unique_ptr<LimitsMachine> machine);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
