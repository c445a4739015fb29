// Brings a rank from its options to an engine that agrees with its peers. Used by the worker and by
// the end-to-end benchmark.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.h"
#include "kernels/numerics.h"
#include "model/model.h"
#include "parallel/communicator.h"
#include "worker/device_sums.h"
#include "worker/engine.h"

namespace phalanx {

struct GroupOptions {
  std::string model;  // a folder or a hub id
  std::string device = "cpu";
  // Empty: F32 on CPUs; on CUDA devices the checkpoint's where that has 16 bits, else BF16.
  std::optional<DType> activation_dtype;
  Numerics numerics = Numerics::kExact;
  DeviceSums device_sums = DeviceSums::kAuto;
  std::string nccl_library;  // NcclLibrary::Load
  // Told of the collectives on the device's memory; may be null.
  CollectivesInUse* collectives_in_use = nullptr;
  int ranks_per_gpu = 1;  // of a host
  OpProfile op_profile = OpProfile::kOff;
  size_t emulated_memory_bytes = size_t{4} << 30;  // of an emulated device
  int threads = 0;                                 // 0: the rank's share of the CPUs
  std::string cpu_isa;                             // empty: the best that all ranks have
  LoadFormat load_format = LoadFormat::kSafetensors;
  uint64_t dummy_seed = 0;
  Quantization quantization = Quantization::kNone;
  std::optional<DType> kv_cache_dtype;  // empty: as the activations
  std::optional<int32_t> max_model_len;
  int32_t max_num_seqs = 256;
  double max_token_slowdown = 0;  // EngineOptions
  // Default: DefaultStepTokens, on a GPU DefaultGpuStepTokens.
  std::optional<int32_t> max_num_batched_tokens;
  int32_t block_size = 16;
  std::optional<int64_t> kv_cache_memory_bytes;  // per rank
  std::optional<double> memory_fraction;
  PrefixCaching prefix_caching = PrefixCaching::kOn;
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  std::string version;  // of this build; part of the numerics id
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_load_progress;
  std::function<void(std::string_view warning)> on_load_warning;
  // True where the rank need not go on: loading ends with CANCELLED on every rank. Any thread.
  std::function<bool()> should_stop;
  // EngineOptions. `step_timeout` is what every step is granted; 0: no limit.
  const LivenessBoard* board = nullptr;
  std::chrono::milliseconds step_timeout{60'000};
};

// Rows that one step of about 150 ms can compute: 0.15 s * threads * the rate of one core /
// 2 FLOP per weight and row (AssumedCoreRate). Rounded up to 16, at most 2048, at least
// `max_num_seqs` or 64: with more sequences than rows, those that have waited longest decode first.
int32_t DefaultStepTokens(const Qwen2Config& config, const std::string& isa, int threads_in_all,
                          int32_t max_num_seqs);
// On a GPU, where reading the weights costs a step more than few rows do: 2048, at least
// `max_num_seqs`.
int32_t DefaultGpuStepTokens(int32_t max_num_seqs);

// A rank that is ready to warm up. Members are destroyed in reverse.
struct Group {
  std::unique_ptr<Backend> backend;
  std::shared_ptr<DeviceCollectives> collectives;  // null where sums go through the host's memory
  std::unique_ptr<Qwen2Model> model;
  std::unique_ptr<Engine> engine;
  SchedulerConfig scheduler;
  std::string numerics_id;
  int threads = 1;
  bool is_oversubscribed = false;  // local ranks * threads exceed the CPUs
  bool is_shortened = false;       // max_model_len is below the model's own, to fit the pool
  DType kv_dtype = DType::kF32;
  int64_t kv_bytes = 0;  // of this rank
  double load_s = 0;
  double pool_s = 0;
  double warm_up_s = 0;
};

// Collective. The error is the same on every rank: that of the lowest rank that failed.
StatusOr<Group> StartGroup(const GroupOptions& options, Communicator& communicator);

// Collective; before the first step (Engine::WarmUp). After an error, which other ranks may not
// have, the group is broken.
Status WarmUp(Group& group);

}  // namespace phalanx
