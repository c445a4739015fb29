#include "parallel/mpi_factory.h"

#include <cstdlib>

#include "parallel/mpi_communicator.h"
#include "parallel/mpi_environment.h"
#include "parallel/mpi_shared_region.h"
#include "parallel/shared_memory_communicator.h"
#include "parallel/single_communicator.h"

namespace phalanx {
namespace {

bool IsGroupOfOne() {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  return size != nullptr && std::string_view(size) == "1";
}

StatusOr<std::unique_ptr<Communicator>> MakeSharedMemory(
    const MpiOptions& options, const std::shared_ptr<MpiEnvironment>& environment) {
  const SharedLayout layout{environment->size(), kDefaultSlotBytes};
  PHALANX_ASSIGN_OR_RETURN(
      std::shared_ptr<SharedRegion> region,
      MakeMpiSharedRegion(environment, environment->world(), layout.total_bytes()));
  SharedMemoryOptions member;
  member.rank = environment->rank();
  member.layout = layout;
  member.wait = MakeWaitPolicy(environment->size(), options.threads_per_rank);
  member.on_abort = [environment](int first_rank, const Status& reason) {
    environment->AbortAll(first_rank, reason);
  };
  return std::make_unique<SharedMemoryCommunicator>(std::move(member), std::move(region));
}

bool IsOneProcess(const MpiOptions& options) {
  const bool may_choose =
      options.kind == CommunicatorKind::kAuto || options.kind == CommunicatorKind::kNccl;
  return !LaunchedByMpi() || (may_choose && IsGroupOfOne());
}

StatusOr<std::unique_ptr<Communicator>> MakeCommunicator(
    const MpiOptions& options, const std::shared_ptr<MpiEnvironment>& environment) {
  const bool one_host = environment->num_ranks_on_host() == environment->size();
  if (options.kind == CommunicatorKind::kSharedMemory && !one_host) {
    return InvalidField("communicator", "shm",
                        fmt::format("auto or mpi, since {} of the {} ranks are on this host",
                                    environment->num_ranks_on_host(), environment->size()));
  }
  if (one_host && options.kind != CommunicatorKind::kMpi)
    return MakeSharedMemory(options, environment);
  return MakeMpiOnlyCommunicator(environment);
}

StatusOr<std::shared_ptr<LivenessBoard>> MakeBoard(
    const std::shared_ptr<MpiEnvironment>& environment) {
  const int size = environment->num_ranks_on_host();
  PHALANX_ASSIGN_OR_RETURN(
      std::shared_ptr<SharedRegion> region,
      MakeMpiSharedRegion(environment, environment->host(), LivenessBoard::SizeBytes(size)));
  auto board = std::make_shared<LivenessBoard>(std::move(region), environment->rank_on_host(), size,
                                               environment->rank(), environment->size());
  PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Barrier(environment->world()), "MPI_Barrier"));
  return board;
}

}  // namespace

StatusOr<CommunicatorKind> ParseCommunicatorKind(std::string_view name) {
  if (name == "auto") return CommunicatorKind::kAuto;
  if (name == "shm") return CommunicatorKind::kSharedMemory;
  if (name == "mpi") return CommunicatorKind::kMpi;
  return InvalidField("communicator", name, "auto, shm, mpi");
}

StatusOr<std::unique_ptr<Communicator>> CreateMpiCommunicator(const MpiOptions& options) {
  if (IsOneProcess(options)) return MakeSingleCommunicator();
  PHALANX_ASSIGN_OR_RETURN(const std::shared_ptr<MpiEnvironment> environment,
                           MpiEnvironment::Create());
  return MakeCommunicator(options, environment);
}

StatusOr<MpiGroup> CreateMpiGroup(const MpiOptions& options) {
  if (IsOneProcess(options)) return MpiGroup{MakeLonelyLivenessBoard(), MakeSingleCommunicator()};
  PHALANX_ASSIGN_OR_RETURN(const std::shared_ptr<MpiEnvironment> environment,
                           MpiEnvironment::Create());
  MpiGroup group;
  PHALANX_ASSIGN_OR_RETURN(group.communicator, MakeCommunicator(options, environment));
  PHALANX_ASSIGN_OR_RETURN(group.board, MakeBoard(environment));
  return group;
}

}  // namespace phalanx
