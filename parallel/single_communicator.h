// A group of one rank: the sum of one part is the part. After Abort every call returns its reason.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace phalanx {

std::unique_ptr<Communicator> MakeSingleCommunicator();

}  // namespace phalanx
