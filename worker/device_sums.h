// Which way partial results in a device's memory are summed over ranks.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/numerics.h"
#include "parallel/communicator.h"
#include "parallel/device_collectives.h"
#include "parallel/liveness.h"

namespace phalanx {

enum class DeviceSums : uint8_t {
  kAuto,  // kNccl between GPUs, else kHost
  kHost,  // by the communicator, in the host's memory
  kNccl,
};

struct DeviceSumsOptions {
  DeviceSums by = DeviceSums::kAuto;
  std::string nccl_library;                        // NcclLibrary::Load
  int ranks_per_gpu = 1;                           // NCCL takes no more
  std::chrono::milliseconds init_timeout{60'000};  // 0: no limit
  const LivenessBoard* board = nullptr;
  // Told of the collectives before their first sum, for who ends a rank that waits in it; may be
  // null.
  CollectivesInUse* in_use = nullptr;
};

// Null where sums go through the host's memory; else they have summed once. Collective; the error
// is the same on every rank.
StatusOr<std::shared_ptr<DeviceCollectives>> CreateDeviceCollectives(
    const DeviceSumsOptions& options, Backend& backend, Communicator& communicator);

// For the numerics id: "ordered" where sums are in rank order, else who decides on the order.
// `collectives` may be null.
std::string OrderOfSums(const DeviceCollectives* collectives, Numerics numerics);

}  // namespace phalanx
