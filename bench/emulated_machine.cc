// Its figures say nothing but that the probe works.
#include "bench/limits_machine.h"
#include "bench/limits_probe.h"
#include "kernels/cuda/emulated_device.h"

namespace phalanx::cuda {
namespace emulated {
namespace {

class EmulatedMachine final : public LimitsMachine {
 public:
  EmulatedMachine(std::unique_ptr<Device> device, size_t memory_bytes)
      : device_(std::move(device)), memory_bytes_(memory_bytes) {}

  Device& device() override { return *device_; }
  StatusOr<MachineFacts> facts() const override {
    return MachineFacts{.name = "emulated device",
                        .memory_bytes = static_cast<int64_t>(memory_bytes_)};
  }
  ProbeSizes sizes() const override {
    return {.least_bytes = int64_t{1} << 16,
            .most_bytes = int64_t{1} << 20,
            .tensor_rounds = 4,
            .num_launches = 8,
            .num_passes = 3};
  }
  StatusOr<std::optional<double>> SecondsOfGraphNode() override { return std::optional<double>(); }

 private:
  std::unique_ptr<Device> device_;
  size_t memory_bytes_;
};

}  // namespace
}  // namespace emulated

StatusOr<std::unique_ptr<DeviceProbe>> OpenEmulatedProbe(size_t memory_bytes) {
  constexpr uint64_t kSeed = 1;
  PHALANX_ASSIGN_OR_RETURN(auto device, emulated::OpenEmulatedDevice(memory_bytes, kSeed));
  return emulated::CreateProbe(
      std::make_unique<emulated::EmulatedMachine>(std::move(device), memory_bytes));
}

}  // namespace phalanx::cuda
