#include "bench/e2e_limits.h"

#include "bench/device_limits.h"
#include "bench/probe.h"

namespace phalanx {
namespace {

constexpr size_t kCpuProbeBytes = size_t{512} << 20;  // of one rank, far beyond the caches

class CpuLimitsProbe final : public LimitsProbe {
 public:
  explicit CpuLimitsProbe(int threads) : threads_(threads), reading_(threads, kCpuProbeBytes) {}

  StatusOr<double> ReadGbPerS() override { return reading_.Measure(); }
  StatusOr<std::vector<ArithmeticPeak>> Peaks() override {
    return std::vector<ArithmeticPeak>{{"fma", MeasureFmaPeak(threads_)},
                                       {"tile", MeasureTilePeak(threads_)}};
  }

 private:
  int threads_;
  ReadBandwidthProbe reading_;
};

class DeviceLimitsProbe final : public LimitsProbe {
 public:
  explicit DeviceLimitsProbe(std::unique_ptr<DeviceProbe> probe) : probe_(std::move(probe)) {}

  StatusOr<double> ReadGbPerS() override { return probe_->ReadGbPerS(); }
  StatusOr<std::vector<ArithmeticPeak>> Peaks() override {
    PHALANX_ASSIGN_OR_RETURN(const DeviceLimits limits, probe_->Measure());
    return std::vector<ArithmeticPeak>{{"tensor", limits.tensor_tflop_per_s * 1e3}};
  }

 private:
  std::unique_ptr<DeviceProbe> probe_;
};

}  // namespace

StatusOr<std::unique_ptr<LimitsProbe>> CreateLimitsProbe(const BackendOptions& options) {
  using Result = StatusOr<std::unique_ptr<LimitsProbe>>;
  if (options.device == "cpu") return Result(std::make_unique<CpuLimitsProbe>(options.num_threads));
  PHALANX_ASSIGN_OR_RETURN(auto probe, OpenDeviceProbe(options));
  return Result(std::make_unique<DeviceLimitsProbe>(std::move(probe)));
}

}  // namespace phalanx
