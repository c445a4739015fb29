// MPI's life in this process: initialised once, finalised when the last communicator is gone.
#pragma once

#include <mpi.h>

#include <memory>

#include "kernels/base/status.h"

namespace phalanx {

// A launcher (mpirun, srun) started this process and says so in the environment.
bool LaunchedByMpi();

class MpiEnvironment {
 public:
  // Once per process: MPI cannot be initialised again.
  static StatusOr<std::shared_ptr<MpiEnvironment>> Create();
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;

  MPI_Comm world() const { return world_; }  // a duplicate; its errors are returned
  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm host() const { return host_; }  // the ranks of this host, in the order of the group's
  int rank_on_host() const { return rank_on_host_; }
  int num_ranks_on_host() const { return num_ranks_on_host_; }

  // Prints the reason where this rank is `first_rank`, and ends the processes of all ranks.
  [[noreturn]] void AbortAll(int first_rank, const Status& reason) const;

 private:
  MpiEnvironment() = default;
  Status Query();

  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  MPI_Comm host_ = MPI_COMM_NULL;
  int rank_on_host_ = 0;
  int num_ranks_on_host_ = 1;
};

// OK, or UNAVAILABLE with the call's name and MPI's own words.
Status MpiStatus(int code, std::string_view call);

}  // namespace phalanx
