// NCCL's binary interface, as far as it is used, so that building needs no nccl.h and serving loads
// whatever library the host has (parallel/nccl_library.h). Names are NCCL's; values and layouts are
// those of its header, which keeps them from 2.18 on through all of version 2.
#pragma once

#include <climits>
#include <cstddef>

namespace phalanx::nccl {

struct Comm;  // ncclComm_t points to one

struct UniqueId {  // ncclUniqueId
  char internal[128];
};

enum Result : int {  // ncclResult_t
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

enum DataType : int { kFloat32 = 7 };  // ncclDataType_t
enum RedOp : int { kSum = 0 };         // ncclRedOp_t

// 2.18.3 is 21803.
constexpr int VersionCode(int major, int minor, int patch) {
  return major * 10000 + minor * 100 + patch;
}

// ncclConfig_t as of 2.18. A later library reads `size` bytes and takes the fields that `version`
// did not have yet for undefined.
struct Config {
  static constexpr unsigned kMagic = 0xcafebeef;

  size_t size = sizeof(Config);
  unsigned magic = kMagic;
  unsigned version = VersionCode(2, 18, 0);
  int blocking = INT_MIN;  // undefined, as all that follow
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
  // 2.18 has padding here. Later versions have a field, and take `size` bytes as they are.
  int reserved = INT_MIN;
};
static_assert(sizeof(UniqueId) == 128);
static_assert(sizeof(Config) == 48);
static_assert(offsetof(Config, blocking) == 16 && offsetof(Config, net_name) == 32 &&
              offsetof(Config, reserved) == 44);

// The functions, in NCCL's words. `stream` is a cudaStream_t.
using GetVersion = Result(int* version);
using GetUniqueId = Result(UniqueId* id);
using GetErrorString = const char*(Result result);
using GetLastError = const char*(Comm* comm);
using CommInitRankConfig = Result(Comm** comm, int num_ranks, UniqueId id, int rank,
                                  Config* config);
using CommGetAsyncError = Result(Comm* comm, Result* error);
using CommAbort = Result(Comm* comm);
using AllReduce = Result(const void* send, void* recv, size_t count, DataType type, RedOp op,
                         Comm* comm, void* stream);
using AllGather = Result(const void* send, void* recv, size_t send_count, DataType type, Comm* comm,
                         void* stream);

}  // namespace phalanx::nccl
