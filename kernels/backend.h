// The seam between the model and a device: memory, packed weights, the KV cache and the ops of a
// forward pass.
//
// An op's contract (formula, shapes, dtypes, aliasing, source) is its own header in this folder;
// this class only gathers them behind one virtual interface. All ops are called from one thread,
// run in call order, and have finished (CPU) or are enqueued (devices with streams) when they
// return. Shapes and dtypes are the caller's responsibility and checked with PHALANX_CHECK: what a
// client sends is validated long before.
//
// Determinism, for every op: the bits of one row of the result depend on that row's inputs alone;
// not on the other rows, on how many there are, on how a sequence was cut into chunks, or on the
// number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/adjust_logits.h"
#include "kernels/attention.h"
#include "kernels/base/memory_plan.h"
#include "kernels/base/op_times.h"
#include "kernels/base/status.h"
#include "kernels/base/tensor_view.h"
#include "kernels/candidates.h"
#include "kernels/device_queue.h"
#include "kernels/forward_batch.h"
#include "kernels/packed_weight.h"
#include "kernels/rope.h"
#include "kernels/step_limits.h"

namespace phalanx {

// Zeroed, 64-byte aligned memory of the backend; freed on destruction.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
  virtual size_t size_bytes() const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view device() const = 0;  // "cpu", "cuda-emulated"
  virtual std::string_view isa()
      const = 0;  // instruction set in use, e.g. "avx512"; part of the numerics id
  // Of what matrix products read and, on devices, attention computes; the residual stream, what is
  // summed over ranks and logits are kF32 everywhere.
  virtual DType activation_dtype() const = 0;
  // Of the matrices between ops: the same on devices. kF32 on CPUs, where products round what they
  // read.
  virtual DType activation_storage_dtype() const = 0;

  // What Allocate can still give; none: as much as the host has, which others share.
  virtual std::optional<int64_t> FreeMemoryBytes() const = 0;
  // RESOURCE_EXHAUSTED naming `name` and the size where memory does not suffice.
  virtual StatusOr<std::unique_ptr<Buffer>> Allocate(size_t bytes, std::string_view name) = 0;
  // All of the plan's parts, zeroed; they are freed together. RESOURCE_EXHAUSTED naming the part
  // that does not fit.
  virtual StatusOr<std::unique_ptr<Buffer>> AllocateParts(const MemoryPlan& plan) = 0;
  // Allocates what steps within `limits` need beside their caller's buffers: from then on ops
  // allocate nothing in a device's memory. Before the first step, once. RESOURCE_EXHAUSTED
  // likewise.
  virtual Status PrepareSteps(const StepLimits& limits) = 0;
  // What is allocated now, by name; empty where that is the host's memory.
  virtual std::vector<MemoryUse> Memory() const = 0;
  virtual void CopyToDevice(void* dst, const void* src, size_t bytes) = 0;
  virtual void CopyToHost(void* dst, const void* src, size_t bytes) = 0;
  // The batch's arrays where ops read them: themselves where that is the host's memory, else copies
  // that are valid until the next call. What ops of a step take as ids, rows and BatchView is of
  // these; the caller's may be overwritten when it returns.
  virtual StatusOr<ForwardBatch> Upload(const ForwardBatch& host) = 0;
  // A matrix as f32 in the host's memory, to read and to change once Finish has returned: itself
  // where it lies there, else a dense copy that is valid until the next call, widened where it is
  // of another type.
  virtual TensorView HostView(const TensorView& device) = 0;
  // Waits for what has been enqueued. INTERNAL with the first op that failed, naming it; from then
  // on no op does anything.
  virtual Status Finish() = 0;
  // For libraries that work on the backend's memory, too; null where that is the host's.
  virtual DeviceQueue* device_queue() = 0;

  // Around each step: a range in profilers, and in OpTimes. Use StepScope.
  virtual void BeginStep() = 0;
  virtual void EndStep() = 0;
  // Where BackendOptions asked for it, what ops took so far, kWholeStep among them; the longest
  // first.
  virtual std::vector<OpTime> TakenTimes() = 0;

  // Packed weights (kernels/packed_weight.h). PackRows may be called from several threads at once
  // for disjoint rows; every row is packed exactly once, and Finish has returned, before the weight
  // is used; it says where a value is too large for the backend's type. All weights are there
  // before PrepareSteps.
  virtual StatusOr<std::unique_ptr<PackedWeight>> CreateWeight(const WeightSpec& spec) = 0;
  virtual void PackRows(PackedWeight& weight, int64_t first_row, const TensorView& rows) = 0;
  // The same of a quantized weight, which CreateWeight may refuse.
  virtual void PackQuantizedRows(PackedWeight& weight, int64_t first_row,
                                 const QuantizedRows& rows) = 0;

  // KV cache (kernels/attention.h).
  virtual StatusOr<std::unique_ptr<KvCache>> CreateKvCache(const KvCacheSpec& spec) = 0;

  // kernels/embedding.h
  virtual void Embedding(std::span<const int32_t> ids, const PackedWeight& table, int64_t first_id,
                         const TensorView& out) = 0;
  // kernels/linear.h; `bias` is empty or [out_features] f32
  virtual void Linear(const TensorView& x, const PackedWeight& weight, std::span<const float> bias,
                      const TensorView& out) = 0;
  // kernels/gate_up_swiglu.h
  virtual void GateUpSwiglu(const TensorView& x, const PackedWeight& gate_up,
                            const TensorView& out) = 0;
  // kernels/rms_norm.h
  virtual void RmsNorm(const TensorView& x, std::span<const float> weight, float eps,
                       const TensorView& out) = 0;
  virtual void AddRmsNorm(const TensorView& residual, const TensorView& delta,
                          std::span<const float> weight, float eps, const TensorView& out) = 0;
  // kernels/add.h
  virtual void Add(const TensorView& a, const TensorView& b, const TensorView& out) = 0;
  // kernels/gather_rows.h
  virtual void GatherRows(const TensorView& x, std::span<const int32_t> rows,
                          const TensorView& out) = 0;
  // kernels/rope.h
  virtual void QkvRopeAppend(const TensorView& qkv, const BatchView& batch, const HeadLayout& heads,
                             const RopeTable& rope, int64_t layer, KvCache& cache,
                             const TensorView& q_out) = 0;
  // kernels/attention.h
  virtual void PagedAttention(const TensorView& q, const BatchView& batch, const HeadLayout& heads,
                              float scale, int64_t layer, const KvCache& cache,
                              const TensorView& out) = 0;
  // kernels/adjust_logits.h
  virtual void AdjustLogits(const TensorView& logits, int64_t first_id,
                            std::span<const RowAdjustment> rows) = 0;
  // kernels/candidates.h; `results` are there once Finish() has returned OK, and outlive that.
  virtual void SelectCandidates(const TensorView& logits, int64_t first_id,
                                std::span<const CandidateTask> tasks,
                                std::span<CandidateResult> results) = 0;
};

class StepScope {
 public:
  explicit StepScope(Backend& backend) : backend_(backend) { backend_.BeginStep(); }
  ~StepScope() { backend_.EndStep(); }
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;

 private:
  Backend& backend_;
};

}  // namespace phalanx
