#include "parallel/mpi_environment.h"

#include <cstdio>
#include <cstdlib>

namespace phalanx {

bool LaunchedByMpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

Status MpiStatus(int code, std::string_view call) {
  if (code == MPI_SUCCESS) [[likely]]
    return OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int size = 0;
  MPI_Error_string(code, text, &size);
  return UnavailableError("{}: {}", call, std::string_view(text, static_cast<size_t>(size)));
}

StatusOr<std::shared_ptr<MpiEnvironment>> MpiEnvironment::Create() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) return FailedPreconditionError("MPI is initialised already");
  // Collectives come from one thread; only MPI_Abort may come from another.
  int provided = MPI_THREAD_SINGLE;
  PHALANX_RETURN_IF_ERROR(
      MpiStatus(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init"));
  std::shared_ptr<MpiEnvironment> environment(new MpiEnvironment);
  if (provided < MPI_THREAD_FUNNELED) {
    return FailedPreconditionError("MPI has no thread support: level {}, needed {}", provided,
                                   MPI_THREAD_FUNNELED);
  }
  PHALANX_RETURN_IF_ERROR(environment->Query());
  return environment;
}

Status MpiEnvironment::Query() {
  PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup"));
  MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN);
  PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Comm_rank(world_, &rank_), "MPI_Comm_rank"));
  PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Comm_size(world_, &size_), "MPI_Comm_size"));
  PHALANX_RETURN_IF_ERROR(
      MpiStatus(MPI_Comm_split_type(world_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host_),
                "MPI_Comm_split_type"));
  PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Comm_size(host_, &num_ranks_on_host_), "MPI_Comm_size"));
  return MpiStatus(MPI_Comm_rank(host_, &rank_on_host_), "MPI_Comm_rank");
}

MpiEnvironment::~MpiEnvironment() {
  if (host_ != MPI_COMM_NULL) MPI_Comm_free(&host_);
  if (world_ != MPI_COMM_NULL) MPI_Comm_free(&world_);
  MPI_Finalize();
}

void MpiEnvironment::AbortAll(int first_rank, const Status& reason) const {
  if (rank_ == first_rank) {
    std::fprintf(stderr, "rank %d: %s\n", rank_, reason.ToString().c_str());
    std::fflush(stderr);
  }
  MPI_Abort(MPI_COMM_WORLD, 1);
  std::_Exit(1);
}

}  // namespace phalanx
