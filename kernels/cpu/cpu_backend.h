// The ops on CPUs: checks, partition over threads, and a call into the vector kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/candidates_kernel.h"
#include "kernels/cpu/cpu_linear.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/mapped_memory.h"
#include "kernels/cpu/rope_kernel.h"
#include "kernels/cpu/row_kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace phalanx {

class CpuPackedWeight;

struct CpuBackendOptions {
  CpuIsa isa = CpuIsa::kPortable;        // one of AvailableIsas()
  DType activation_dtype = DType::kF32;  // or kBF16: x of a matrix product is rounded to it
  ThreadPoolOptions threads;
  OpProfile op_profile = OpProfile::kOff;
};

// Scratch (packed rows of x, attention's tiles and task list, group maxima of logits) grows to the
// largest step seen and is then reused: after one step of full size nothing is allocated, except
// where a caller's CandidateResult has too little capacity.
class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options);

  std::string_view device() const override { return "cpu"; }
  std::string_view isa() const override { return Name(isa_); }
  DType activation_dtype() const override { return activation_dtype_; }
  DType activation_storage_dtype() const override { return DType::kF32; }

  std::optional<int64_t> FreeMemoryBytes() const override { return std::nullopt; }
  StatusOr<std::unique_ptr<Buffer>> Allocate(size_t bytes, std::string_view name) override;
  StatusOr<std::unique_ptr<Buffer>> AllocateParts(const MemoryPlan& plan) override;
  Status PrepareSteps(const StepLimits&) override { return OkStatus(); }
  std::vector<MemoryUse> Memory() const override { return {}; }
  void CopyToDevice(void* dst, const void* src, size_t bytes) override;
  void CopyToHost(void* dst, const void* src, size_t bytes) override;
  StatusOr<ForwardBatch> Upload(const ForwardBatch& host) override { return host; }
  TensorView HostView(const TensorView& device) override { return device; }
  Status Finish() override { return OkStatus(); }
  void BeginStep() override { step_.emplace(times(), kWholeStep); }
  void EndStep() override { step_.reset(); }
  std::vector<OpTime> TakenTimes() override { return op_times_.table(); }
  DeviceQueue* device_queue() override { return nullptr; }
  StatusOr<std::unique_ptr<PackedWeight>> CreateWeight(const WeightSpec& spec) override;
  void PackRows(PackedWeight& weight, int64_t first_row, const TensorView& rows) override;
  void PackQuantizedRows(PackedWeight& weight, int64_t first_row,
                         const QuantizedRows& rows) override;
  StatusOr<std::unique_ptr<KvCache>> CreateKvCache(const KvCacheSpec& spec) override;

  void Embedding(std::span<const int32_t> ids, const PackedWeight& table, int64_t first_id,
                 const TensorView& out) override;
  void Linear(const TensorView& x, const PackedWeight& weight, std::span<const float> bias,
              const TensorView& out) override;
  void GateUpSwiglu(const TensorView& x, const PackedWeight& gate_up,
                    const TensorView& out) override;
  void RmsNorm(const TensorView& x, std::span<const float> weight, float eps,
               const TensorView& out) override;
  void AddRmsNorm(const TensorView& residual, const TensorView& delta,
                  std::span<const float> weight, float eps, const TensorView& out) override;
  void Add(const TensorView& a, const TensorView& b, const TensorView& out) override;
  void GatherRows(const TensorView& x, std::span<const int32_t> rows,
                  const TensorView& out) override;
  void QkvRopeAppend(const TensorView& qkv, const BatchView& batch, const HeadLayout& heads,
                     const RopeTable& rope, int64_t layer, KvCache& cache,
                     const TensorView& q_out) override;
  void PagedAttention(const TensorView& q, const BatchView& batch, const HeadLayout& heads,
                      float scale, int64_t layer, const KvCache& cache,
                      const TensorView& out) override;
  void AdjustLogits(const TensorView& logits, int64_t first_id,
                    std::span<const RowAdjustment> rows) override;
  void SelectCandidates(const TensorView& logits, int64_t first_id,
                        std::span<const CandidateTask> tasks,
                        std::span<CandidateResult> results) override;

 private:
  // function(row) for all rows, on several threads where the work is worth it.
  template <typename Function>
  void ForEachRow(int64_t num_rows, int64_t work_per_row, const Function& function);
  void SelectForTask(const LogitsRow& row, int64_t first_id, const CandidateTask& task,
                     float* group_max, CandidateResult& result) const;

  OpTimes* times() { return op_profile_ == OpProfile::kOn ? &op_times_ : nullptr; }

  CpuIsa isa_;
  DType activation_dtype_;
  OpProfile op_profile_;
  OpTimes op_times_;
  std::optional<ScopedOpTime> step_;
  ThreadPool threads_;
  CpuLinear linear_;
  RowKernels row_;
  RopeKernel rope_;
  AttentionKernel attention_;
  CandidateKernels candidates_;

  Scratch attention_scratch_;
  Scratch group_max_;
  std::vector<AttentionTask> attention_tasks_;
};

}  // namespace phalanx
