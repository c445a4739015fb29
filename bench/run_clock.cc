#include "bench/run_clock.h"

#include <chrono>
#include <limits>

#include "bench/gpu_run_clock.h"

namespace phalanx {
namespace {

class HostRunClock final : public RunClock {
 public:
  explicit HostRunClock(Backend& backend) : backend_(backend) {}

  StatusOr<double> SecondsOf(const Run& run, int64_t runs) override {
    using Clock = std::chrono::steady_clock;
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    const Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < runs; ++i) PHALANX_RETURN_IF_ERROR(run(i));
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  int64_t most_runs() const override { return std::numeric_limits<int64_t>::max(); }

 private:
  Backend& backend_;
};

}  // namespace

StatusOr<std::unique_ptr<RunClock>> CreateRunClock(Backend& backend) {
#ifdef PHALANX_HAS_CUDA
  if (backend.device() == "cuda") return cuda::CreateGpuRunClock(backend);
#endif
  return StatusOr<std::unique_ptr<RunClock>>(std::make_unique<HostRunClock>(backend));
}

}  // namespace phalanx
