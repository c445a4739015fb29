#include "parallel/mpi_shared_region.h"

#include <cstring>

#include "parallel/shared_layout.h"

namespace phalanx {
namespace {

// Every mapping begins at the same offset within a page, so all ranks round up alike.
constexpr size_t kAlignmentBytes = 2 * kCacheLineBytes;

class MpiSharedRegion final : public SharedRegion {
 public:
  MpiSharedRegion(std::shared_ptr<MpiEnvironment> environment, size_t size_bytes)
      : environment_(std::move(environment)), size_bytes_(size_bytes) {}
  ~MpiSharedRegion() override {
    if (window_ != MPI_WIN_NULL) MPI_Win_free(&window_);
  }
  MpiSharedRegion(const MpiSharedRegion&) = delete;
  MpiSharedRegion& operator=(const MpiSharedRegion&) = delete;

  Status Map(MPI_Comm ranks) {
    int rank = 0;
    PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Comm_rank(ranks, &rank), "MPI_Comm_rank"));
    const bool owner = rank == 0;
    const auto bytes = static_cast<MPI_Aint>(owner ? size_bytes_ + kAlignmentBytes : 0);
    void* base = nullptr;
    PHALANX_RETURN_IF_ERROR(
        MpiStatus(MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, ranks, &base, &window_),
                  "MPI_Win_allocate_shared"));
    MPI_Aint mapped_bytes = 0;
    int unit = 0;
    PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Win_shared_query(window_, 0, &mapped_bytes, &unit, &base),
                                      "MPI_Win_shared_query"));
    const auto address = reinterpret_cast<uintptr_t>(base);
    const uintptr_t aligned = (address + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
    data_ = static_cast<std::byte*>(base) + (aligned - address);
    if (owner) std::memset(data_, 0, size_bytes_);
    return MpiStatus(MPI_Barrier(ranks), "MPI_Barrier");
  }

  std::byte* data() const override { return data_; }
  size_t size_bytes() const override { return size_bytes_; }

 private:
  const std::shared_ptr<MpiEnvironment> environment_;
  const size_t size_bytes_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::byte* data_ = nullptr;
};

}  // namespace

StatusOr<std::shared_ptr<SharedRegion>> MakeMpiSharedRegion(
    std::shared_ptr<MpiEnvironment> environment, MPI_Comm ranks, size_t size_bytes) {
  auto region = std::make_shared<MpiSharedRegion>(std::move(environment), size_bytes);
  PHALANX_RETURN_IF_ERROR(region->Map(ranks));
  return std::shared_ptr<SharedRegion>(std::move(region));
}

}  // namespace phalanx
