// A rank group inside one process, a thread for each rank: how tests run any number of ranks.
#pragma once

#include <memory>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/shared_memory_communicator.h"

namespace phalanx {

struct ThreadGroupOptions {
  size_t slot_bytes = kDefaultSlotBytes;  // a multiple of 64
  int threads_per_rank = 1;
};

// Communicators of ranks 0..size-1, named "thread". Each is used by one thread; they share memory
// and may be destroyed in any order.
std::vector<std::unique_ptr<Communicator>> MakeThreadGroup(int size,
                                                           const ThreadGroupOptions& options = {});

}  // namespace phalanx
