// The probe, on the host. One source for both machines.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <vector>

#include "bench/limits_kernels.h"
#include "bench/limits_machine.h"
#include "kernels/cuda/cuda_memory.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kCheckedRounds = 8;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The sum of words [0, count) of the pattern, mod 2^32; `count` is even.
uint32_t PatternSum(int64_t count) {
  return static_cast<uint32_t>(count / 2 * (count - 1)) * kPatternFactor;
}

// Random fragments, and what a warp's sums of all products add up to.
struct Fragments {
  std::vector<uint32_t> words;  // [kTensorWords, 32]
  double sum = 0;               // of one round
  double magnitude = 0;

  Fragments() {
    constexpr int kDepth = 16;
    constexpr int kWordsOfA = 4 * kTensorTiles;
    std::mt19937 generator(7);
    std::normal_distribution<float> normal;
    double of_a[kDepth] = {}, of_b[kDepth] = {}, all_of_a[kDepth] = {}, all_of_b[kDepth] = {};
    for (int word = 0; word < kTensorWords; ++word) {
      // The inner index (primitives.h): words 2 and 3 of an A, and word 1 of a B, are its upper
      // half.
      const bool is_a = word < kWordsOfA;
      const int half = is_a ? word % 4 / 2 : word % 2;
      for (int lane = 0; lane < kWarpSize; ++lane) {
        const int k = 2 * (lane % 4) + 8 * half;
        uint32_t bits = 0;
        for (int e = 0; e < 2; ++e) {
          const uint16_t value = FloatToBF16(normal(generator));
          bits |= static_cast<uint32_t>(value) << (16 * e);
          const double exact = static_cast<double>(BF16ToFloat(value));
          (is_a ? of_a : of_b)[k + e] += exact;
          (is_a ? all_of_a : all_of_b)[k + e] += std::abs(exact);
        }
        words.push_back(bits);
      }
    }
    for (int k = 0; k < kDepth; ++k) {
      sum += of_a[k] * of_b[k];
      magnitude += all_of_a[k] * all_of_b[k];
    }
  }
};

class Probe final : public DeviceProbe {
 public:
  explicit Probe(std::unique_ptr<LimitsMachine> machine)
      : machine_(std::move(machine)),
        device_(machine_->device()),
        sizes_(machine_->sizes()),
        num_sms_(device_.num_multiprocessors()),
        free_bytes_(device_.FreeBytes()) {}

  Status Prepare();
  StatusOr<double> ReadGbPerS() override {
    PHALANX_ASSIGN_OR_RETURN(const double seconds, SecondsOf([&] { Read(0, num_tiles_); }));
    return static_cast<double>(num_tiles_ * kTileBytes) / seconds * 1e-9;
  }
  StatusOr<DeviceLimits> Measure() override;

 private:
  struct LaunchCost {
    double host_us = 0;
    double device_us = 0;
  };

  Stream& stream() { return device_.stream(); }
  Words* Tile(int64_t tile) const {
    return static_cast<Words*>(buffer_->data()) + tile * kTileVectors;
  }
  void Read(int64_t first_tile, int64_t num_tiles) {
    LaunchRead(stream(),
               {.num_tiles = num_tiles,
                .from = Tile(first_tile),
                .sums = static_cast<uint32_t*>(sums_->data())},
               num_sms_);
  }
  // The second half of the buffer becomes the first.
  void Copy() {
    LaunchCopy(stream(), {.num_tiles = num_tiles_ / 2, .from = Tile(0), .to = Tile(num_tiles_ / 2)},
               num_sms_);
  }
  void Tensor(int rounds) {
    LaunchTensor(stream(),
                 {.rounds = rounds,
                  .fragments = static_cast<const uint32_t*>(fragments_on_device_->data()),
                  .sums = static_cast<float*>(sums_->data())},
                 num_sms_);
  }
  // Of the half that begins with the tile.
  Status CheckPattern(int64_t first_tile);
  Status CheckTensor();
  Status WarmUp();

  // By the device's clock.
  template <typename Action>
  StatusOr<double> SecondsOf(Action action) {
    begin_->Record(Queue::kCompute);
    action();
    end_->Record(Queue::kCompute);
    begin_->Wait();
    end_->Wait();
    PHALANX_RETURN_IF_ERROR(device_.Finish());
    return end_->SecondsSince(*begin_);
  }
  // Behind a first one, which is not counted.
  template <typename Measurement>
  StatusOr<double> MedianOf(Measurement measurement) {
    std::vector<double> values;
    for (int pass = -1; pass < sizes_.num_passes; ++pass) {
      PHALANX_ASSIGN_OR_RETURN(const double value, measurement());
      if (pass >= 0) values.push_back(value);
    }
    return Median(std::move(values));
  }
  StatusOr<LaunchCost> LaunchOnce();
  Status MeasureLaunches(DeviceLimits& limits);

  std::unique_ptr<LimitsMachine> machine_;  // outlives all that follows
  Device& device_;
  const ProbeSizes sizes_;
  const int num_sms_;
  const int64_t free_bytes_;
  const Fragments fragments_;
  int64_t num_tiles_ = 0;
  std::unique_ptr<CudaBuffer> buffer_;               // [num_tiles_, kTileVectors]
  std::unique_ptr<CudaBuffer> fragments_on_device_;  // [kTensorWords, 32]
  std::unique_ptr<CudaBuffer> sums_;                 // of any kernel
  std::unique_ptr<Event> begin_;
  std::unique_ptr<Event> end_;
};

Status Probe::Prepare() {
  PHALANX_ASSIGN_OR_RETURN(begin_, device_.CreateEvent());
  PHALANX_ASSIGN_OR_RETURN(end_, device_.CreateEvent());
  const int64_t buffer_bytes = std::min(sizes_.most_bytes, free_bytes_ / 4);
  if (buffer_bytes < sizes_.least_bytes) {
    return ResourceExhaustedError("the bandwidth probe needs {} free bytes of the device, {} are",
                                  4 * sizes_.least_bytes, free_bytes_);
  }
  num_tiles_ = buffer_bytes / kTileBytes / 2 * 2;
  PHALANX_ASSIGN_OR_RETURN(
      buffer_, CudaBuffer::Allocate(device_, static_cast<size_t>(num_tiles_ * kTileBytes),
                                    "what the bandwidth probe reads"));
  const size_t bytes = fragments_.words.size() * sizeof(uint32_t);
  PHALANX_ASSIGN_OR_RETURN(fragments_on_device_,
                           CudaBuffer::Allocate(device_, bytes, "the tensor probe's matrices"));
  device_.CopyToDevice(fragments_on_device_->data(), fragments_.words.data(), bytes);
  const int num_sums =
      num_sms_ * std::max(kMemoryBlocks * kProbeWarps, kTensorBlocks * kProbeThreads);
  PHALANX_ASSIGN_OR_RETURN(
      sums_, CudaBuffer::Allocate(device_, static_cast<size_t>(num_sums) * sizeof(float),
                                  "the probe's sums"));
  LaunchFill(stream(), {.num_tiles = num_tiles_, .to = Tile(0)}, num_sms_);
  return CheckPattern(0);
}

Status Probe::CheckPattern(int64_t first_tile) {
  Read(first_tile, num_tiles_ / 2);
  std::vector<uint32_t> sums(static_cast<size_t>(kMemoryBlocks * num_sms_ * kProbeWarps));
  device_.CopyToHost(sums.data(), sums_->data(), sums.size() * sizeof(uint32_t));
  PHALANX_RETURN_IF_ERROR(device_.Finish());
  uint32_t sum = 0;
  for (const uint32_t each : sums) sum += each;
  const uint32_t expected = PatternSum(num_tiles_ / 2 * kTileVectors * 4);
  if (sum == expected) return OkStatus();
  return InternalError("the bandwidth probe reads words that add up to {}, expected: {}", sum,
                       expected);
}

Status Probe::CheckTensor() {
  Tensor(kCheckedRounds);
  std::vector<float> sums(static_cast<size_t>(kTensorBlocks * num_sms_ * kProbeThreads));
  device_.CopyToHost(sums.data(), sums_->data(), sums.size() * sizeof(float));
  PHALANX_RETURN_IF_ERROR(device_.Finish());
  const double expected = kCheckedRounds * fragments_.sum;
  // Products are exact, and few enough are added that truncation does not matter.
  const double tolerance = 1e-4 * kCheckedRounds * fragments_.magnitude;
  for (size_t warp = 0; warp < sums.size(); warp += kWarpSize) {
    double sum = 0;
    for (size_t lane = 0; lane < kWarpSize; ++lane) sum += static_cast<double>(sums[warp + lane]);
    if (!(std::abs(sum - expected) <= tolerance)) {
      return InternalError(
          "the tensor probe's warp {} has products that add up to {}, expected: {}",
          warp / kWarpSize, sum, expected);
    }
  }
  return OkStatus();
}

// The device has something else to do while the host enqueues.
StatusOr<Probe::LaunchCost> Probe::LaunchOnce() {
  using Clock = std::chrono::steady_clock;
  LaunchCost cost;
  Tensor(sizes_.tensor_rounds);
  PHALANX_ASSIGN_OR_RETURN(const double seconds, SecondsOf([&] {
                             const Clock::time_point begin = Clock::now();
                             for (int i = 0; i < sizes_.num_launches; ++i) LaunchEmpty(stream());
                             cost.host_us =
                                 std::chrono::duration<double>(Clock::now() - begin).count() * 1e6 /
                                 sizes_.num_launches;
                           }));
  cost.device_us = seconds * 1e6 / sizes_.num_launches;
  return cost;
}

Status Probe::MeasureLaunches(DeviceLimits& limits) {
  std::vector<double> host_us;
  PHALANX_ASSIGN_OR_RETURN(limits.empty_kernel_us, MedianOf([&]() -> StatusOr<double> {
                             PHALANX_ASSIGN_OR_RETURN(const LaunchCost cost, LaunchOnce());
                             host_us.push_back(cost.host_us);
                             return cost.device_us;
                           }));
  limits.launch_us = Median(std::move(host_us));
  PHALANX_ASSIGN_OR_RETURN(const std::optional<double> node, machine_->SecondsOfGraphNode());
  if (node) limits.graph_node_us = *node * 1e6;
  return OkStatus();
}

// An idle GPU's clock takes a while to rise.
Status Probe::WarmUp() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  while (std::chrono::duration<double>(Clock::now() - begin).count() < sizes_.warm_up_seconds) {
    PHALANX_RETURN_IF_ERROR(SecondsOf([&] { Tensor(sizes_.tensor_rounds); }).status());
  }
  return OkStatus();
}

StatusOr<DeviceLimits> Probe::Measure() {
  PHALANX_ASSIGN_OR_RETURN(const MachineFacts facts, machine_->facts());
  DeviceLimits limits{.device = std::string(device_.name()),
                      .name = facts.name,
                      .architecture = std::string(device_.architecture()),
                      .num_multiprocessors = num_sms_,
                      .memory_bytes = facts.memory_bytes,
                      .free_bytes = free_bytes_,
                      .driver_cuda = facts.driver_cuda,
                      .runtime_cuda = facts.runtime_cuda};
  PHALANX_RETURN_IF_ERROR(CheckTensor());
  PHALANX_RETURN_IF_ERROR(WarmUp());
  const double flop = kTensorFlopOfRound * kTensorBlocks * num_sms_ * kProbeWarps *
                      static_cast<double>(sizes_.tensor_rounds);
  PHALANX_ASSIGN_OR_RETURN(const double tensor_seconds, MedianOf([&] {
                             return SecondsOf([&] { Tensor(sizes_.tensor_rounds); });
                           }));
  limits.tensor_tflop_per_s = flop / tensor_seconds * 1e-12;
  PHALANX_ASSIGN_OR_RETURN(limits.read_gb_per_s, MedianOf([&] { return ReadGbPerS(); }));
  PHALANX_ASSIGN_OR_RETURN(const double copy_seconds,
                           MedianOf([&] { return SecondsOf([&] { Copy(); }); }));
  limits.copy_gb_per_s = static_cast<double>(num_tiles_ * kTileBytes) / copy_seconds * 1e-9;
  PHALANX_RETURN_IF_ERROR(CheckPattern(num_tiles_ / 2));
  PHALANX_RETURN_IF_ERROR(MeasureLaunches(limits));
  return limits;
}

}  // namespace

StatusOr<std::unique_ptr<DeviceProbe>> CreateProbe(std::unique_ptr<LimitsMachine> machine) {
  auto probe = std::make_unique<Probe>(std::move(machine));
  PHALANX_RETURN_IF_ERROR(probe->Prepare());
  return StatusOr<std::unique_ptr<DeviceProbe>>(std::move(probe));
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
