// Collectives over MPI in host memory, for ranks on several hosts.
//
// Messages are gathered and summed in rank order, never with MPI_Allreduce, whose order depends on
// the message size:
//   short: MPI_Allgather of the whole, every rank sums.
//   long:  each rank receives its slice from all (MPI_Alltoallv), sums it, and the sums are
//   gathered
//          (MPI_Allgatherv). Each element is still summed in rank order.
//
// MPI's own broadcast keeps a waiting rank's core busy, so Broadcast sends to each rank, and a
// waiting rank looks for the message: at first without pause, later between naps of up to 1 ms.
#pragma once

#include <memory>

#include "parallel/communicator.h"
#include "parallel/mpi_environment.h"

namespace phalanx {

std::unique_ptr<Communicator> MakeMpiOnlyCommunicator(std::shared_ptr<MpiEnvironment> environment);

}  // namespace phalanx
