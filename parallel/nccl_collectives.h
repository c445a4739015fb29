// Collectives by NCCL, between the GPUs of a group's ranks.
//
// The communicator is non-blocking (ncclConfig_t), so that no call of NCCL waits for a peer: its
// making is polled under a deadline, and a call that is still in progress is polled until it is
// enqueued or another thread aborts it. Errors that show later come from ncclCommGetAsyncError.
// After the first error the communicator is aborted, which ends its kernels on the device.
#pragma once

#include <chrono>
#include <memory>

#include "parallel/communicator.h"
#include "parallel/device_collectives.h"
#include "parallel/liveness.h"
#include "parallel/nccl_library.h"

namespace phalanx {

struct NcclOptions {
  NcclLibrary library;
  // The cudaStream_t that work is enqueued on; the calling thread's device is the stream's.
  void* stream = nullptr;
  // How long the making of the communicator may take, and then its first collective, which makes
  // the connections; 0: no limit.
  std::chrono::milliseconds init_timeout{60'000};
  const LivenessBoard* board = nullptr;  // where waits show; may be null
};

// Collective over `host`, of which rank and size are taken, and which carries NCCL's unique id from
// rank 0 to the others. DEADLINE_EXCEEDED naming the deadline where a peer does not come;
// UNAVAILABLE with NCCL's words otherwise. An error need not be the same on every rank; who
// compares them (worker/agreement.h) says whose it is. Errors that come later name the collective.
StatusOr<std::shared_ptr<DeviceCollectives>> CreateNcclCollectives(const NcclOptions& options,
                                                                   Communicator& host);

}  // namespace phalanx
