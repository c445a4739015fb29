// The communicator of a process that mpirun (or srun) started, and of one that nobody did.
#pragma once

#include <memory>
#include <string_view>

#include "parallel/communicator.h"
#include "parallel/liveness.h"

namespace phalanx {

enum class CommunicatorKind {
  kAuto,          // shared memory where all ranks are on one host, else MPI
  kSharedMemory,  // refused where ranks are on several hosts
  kMpi,
  kNccl,  // as kAuto; what lies in GPUs' memory is summed by NCCL (parallel/nccl_collectives.h)
};

// "auto", "shm" or "mpi"; INVALID_ARGUMENT for the field "communicator" otherwise.
StatusOr<CommunicatorKind> ParseCommunicatorKind(std::string_view name);

struct MpiOptions {
  CommunicatorKind kind = CommunicatorKind::kAuto;
  int threads_per_rank =
      1;  // busy threads of a rank, to tell whether ranks have cores of their own
};

// Once per process. Without a launcher the group is this process and MPI is not initialised; the
// same for a group of one under kAuto.
//
// The communicator ends MPI when it is destroyed, together with its peers: a rank that leaves early
// because of an error calls Abort, which prints the first reason and ends all processes.
StatusOr<std::unique_ptr<Communicator>> CreateMpiCommunicator(const MpiOptions& options);

// The same with the board on which the ranks of this host watch each other; every rank has
// published its pid there. Both are destroyed together with those of the peers.
struct MpiGroup {
  std::shared_ptr<LivenessBoard> board;
  std::unique_ptr<Communicator> communicator;
};
StatusOr<MpiGroup> CreateMpiGroup(const MpiOptions& options);

}  // namespace phalanx
