#include "parallel/nccl_library.h"

#include <dlfcn.h>

namespace phalanx {
namespace {

constexpr const char* kFlag = "--nccl-library";
constexpr int kOldest = nccl::VersionCode(2, 18, 0);
constexpr int kTooNew = nccl::VersionCode(3, 0, 0);
constexpr std::string_view kAllowed = "NCCL from 2.18 on, below 3";

// dlerror() is null only where nothing went wrong.
std::string LoaderError() {
  const char* const error = dlerror();
  return error == nullptr ? "no reason given" : error;
}

}  // namespace

StatusOr<NcclLibrary> NcclLibrary::Load(const std::string& path) {
  const std::string name = path.empty() ? kDefaultName : path;
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const std::string where =
        path.empty() ? ", looked for in LD_LIBRARY_PATH, where launch/setup.sh --cuda puts it and "
                       "among the system's libraries"
                     : "";
    return InvalidField(kFlag, fmt::format("{}{} ({})", name, where, LoaderError()),
                        fmt::format("{}; without it, sums over ranks go through the host's memory "
                                    "with --communicator shm or mpi",
                                    kAllowed));
  }
  NcclLibrary library(handle, name);
  PHALANX_RETURN_IF_ERROR(library.FindFunctions());
  PHALANX_RETURN_IF_ERROR(library.CheckVersion());
  return library;
}

Status NcclLibrary::FindFunctions() {
  Status status;
  const auto find = [&](const char* name, auto*& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle_, name));
    if (function != nullptr || !status.ok()) return;
    status = InvalidField(
        kFlag, fmt::format("{}, which has no {} ({})", path_, name, LoaderError()), kAllowed);
  };
  find("ncclGetVersion", get_version);
  find("ncclGetUniqueId", get_unique_id);
  find("ncclGetErrorString", get_error_string);
  find("ncclGetLastError", get_last_error);
  find("ncclCommInitRankConfig", comm_init_rank_config);
  find("ncclCommGetAsyncError", comm_get_async_error);
  find("ncclCommAbort", comm_abort);
  find("ncclAllReduce", all_reduce);
  find("ncclAllGather", all_gather);
  return status;
}

Status NcclLibrary::CheckVersion() {
  int code = 0;
  const nccl::Result result = get_version(&code);
  if (result != nccl::kSuccess) {
    return InvalidField(kFlag, fmt::format("{}, ncclGetVersion: {}", path_, Describe(result)),
                        kAllowed);
  }
  // Before 2.9 a version's code was shorter; such a library is too old in either reading.
  version_ = fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
  if (code >= kOldest && code < kTooNew) return OkStatus();
  return InvalidField(kFlag, fmt::format("{}, NCCL {}", path_, version_), kAllowed);
}

std::string NcclLibrary::Describe(nccl::Result result) const {
  std::string words = get_error_string(result);
  const char* const last = get_last_error(nullptr);
  if (last != nullptr && *last != '\0') words += fmt::format(": {}", last);
  return words;
}

}  // namespace phalanx
