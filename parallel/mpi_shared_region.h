// Memory shared by the processes of one host, from MPI_Win_allocate_shared: Open MPI unlinks its
// file once all ranks have mapped it, so that a killed group leaves nothing behind.
#pragma once

#include <memory>

#include "parallel/mpi_environment.h"
#include "parallel/shared_region.h"

namespace phalanx {

// Collective over `ranks`: every rank of it calls with the same size; all must be on one host.
// Zeroed. Destroying it is collective too. `ranks` belongs to `environment`.
StatusOr<std::shared_ptr<SharedRegion>> MakeMpiSharedRegion(
    std::shared_ptr<MpiEnvironment> environment, MPI_Comm ranks, size_t size_bytes);

}  // namespace phalanx
