#include "parallel/thread_group.h"

namespace phalanx {

std::vector<std::unique_ptr<Communicator>> MakeThreadGroup(int size,
                                                           const ThreadGroupOptions& options) {
  PHALANX_CHECK_GT(size, 0);
  const SharedLayout layout{size, options.slot_bytes};
  const std::shared_ptr<SharedRegion> region = MakeHeapRegion(layout.total_bytes());
  std::vector<std::unique_ptr<Communicator>> group;
  for (int rank = 0; rank < size; ++rank) {
    SharedMemoryOptions member;
    member.rank = rank;
    member.layout = layout;
    member.wait = MakeWaitPolicy(size, options.threads_per_rank);
    member.name = "thread";
    group.push_back(std::make_unique<SharedMemoryCommunicator>(std::move(member), region));
  }
  return group;
}

}  // namespace phalanx
