// NCCL's shared library, loaded when it is asked for: it is several hundred MB, and most hosts that
// build this have none. It stays loaded, as threads of its own may run until the process ends; so
// this is a value.
#pragma once

#include <string>

#include "kernels/base/status.h"
#include "parallel/nccl_api.h"

namespace phalanx {

class NcclLibrary {
 public:
  // `path`: a file, or a name that the loader looks for; empty: kDefaultName. INVALID_ARGUMENT
  // naming --nccl-library where there is no such library, it lacks a function, or its version is
  // not one of kAllowed.
  static StatusOr<NcclLibrary> Load(const std::string& path);

  static constexpr const char* kDefaultName = "libnccl.so.2";

  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }  // "2.30.7"
  // A result in words, with what the library says of its last error.
  std::string Describe(nccl::Result result) const;

  nccl::GetVersion* get_version = nullptr;
  nccl::GetUniqueId* get_unique_id = nullptr;
  nccl::GetErrorString* get_error_string = nullptr;
  nccl::GetLastError* get_last_error = nullptr;
  nccl::CommInitRankConfig* comm_init_rank_config = nullptr;
  nccl::CommGetAsyncError* comm_get_async_error = nullptr;
  nccl::CommAbort* comm_abort = nullptr;
  nccl::AllReduce* all_reduce = nullptr;
  nccl::AllGather* all_gather = nullptr;

 private:
  NcclLibrary(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  Status FindFunctions();
  Status CheckVersion();

  void* handle_;
  std::string path_;
  std::string version_;
};

}  // namespace phalanx
