// A communicator whose collectives show on the liveness board: of two ranks that both stand still,
// the one that waits in a collective is not the one to blame.
#pragma once

#include <memory>

#include "parallel/communicator.h"
#include "parallel/liveness.h"

namespace phalanx {

// `inner` and `board` must outlive it.
std::unique_ptr<Communicator> MakeWatchedCommunicator(Communicator& inner,
                                                      const LivenessBoard& board);

}  // namespace phalanx
