#include <algorithm>

#include "kernels/cuda/collective_timer.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/op_profiler.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/cuda/step_sampling.h"
#include "kernels/cuda/step_stage.h"
#include "kernels/cuda/sum_parts.h"
#include "kernels/cuda/upload_ring.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

class CudaBackend final : public Backend, private DeviceQueue {
 public:
  CudaBackend(const CudaBackendOptions& options, std::unique_ptr<Device> device)
      : options_(options),
        device_(std::move(device)),
        profiler_(*device_, options.op_profile),
        collectives_(*device_) {}

  std::string_view device() const override { return device_->name(); }
  std::string_view isa() const override { return device_->architecture(); }
  DType activation_dtype() const override { return options_.activation_dtype; }
  DType activation_storage_dtype() const override { return options_.activation_dtype; }

  std::optional<int64_t> FreeMemoryBytes() const override { return device_->FreeBytes(); }
  StatusOr<std::unique_ptr<Buffer>> Allocate(size_t bytes, std::string_view name) override {
    PHALANX_ASSIGN_OR_RETURN(auto buffer, CudaBuffer::Allocate(*device_, bytes, name));
    return buffer;
  }
  StatusOr<std::unique_ptr<Buffer>> AllocateParts(const MemoryPlan& plan) override {
    PHALANX_ASSIGN_OR_RETURN(auto block, CudaBlock::Allocate(*device_, plan));
    return block;
  }
  Status PrepareSteps(const StepLimits& limits) override;
  std::vector<MemoryUse> Memory() const override { return device_->Memory(); }
  void CopyToDevice(void* dst, const void* src, size_t bytes) override {
    device_->CopyToDevice(dst, src, bytes);
  }
  void CopyToHost(void* dst, const void* src, size_t bytes) override {
    device_->CopyToHost(dst, src, bytes);
  }
  StatusOr<ForwardBatch> Upload(const ForwardBatch& host) override {
    PHALANX_CHECK(stage_ != nullptr);
    const OpProfiler::Scope scope(profiler_, "upload");
    return stage_->Upload(host);
  }
  TensorView HostView(const TensorView& view) override;
  Status Finish() override {
    const Status status = sampling_ == nullptr ? device_->Finish() : sampling_->Finish();
    profiler_.Collect();
    collectives_.Collect();
    return status;
  }
  void BeginStep() override { step_.emplace(profiler_, kWholeStep.data()); }
  void EndStep() override { step_.reset(); }
  std::vector<OpTime> TakenTimes() override;
  DeviceQueue* device_queue() override { return this; }

  StatusOr<std::unique_ptr<PackedWeight>> CreateWeight(const WeightSpec& spec) override {
    if (uploads_ == nullptr) {
      PHALANX_ASSIGN_OR_RETURN(uploads_, UploadRing::Create(*device_));
    }
    PHALANX_ASSIGN_OR_RETURN(auto weight,
                             CudaPackedWeight::Create(*device_, spec, options_.activation_dtype));
    return weight;
  }
  // CreateWeight refuses them.
  void PackQuantizedRows(PackedWeight& /*weight*/, int64_t /*first_row*/,
                         const QuantizedRows& /*rows*/) override {
    PHALANX_CHECK(false);
  }
  void PackRows(PackedWeight& weight, int64_t first_row, const TensorView& rows) override {
    const Status status =
        static_cast<CudaPackedWeight&>(weight).PackRows(*uploads_, first_row, rows);
    if (!status.ok()) device_->Note(status);
  }
  StatusOr<std::unique_ptr<KvCache>> CreateKvCache(const KvCacheSpec& spec) override {
    PHALANX_ASSIGN_OR_RETURN(auto cache,
                             CudaKvCache::Create(*device_, spec, options_.activation_dtype));
    return cache;
  }

  void Embedding(std::span<const int32_t> ids, const PackedWeight& table, int64_t first_id,
                 const TensorView& out) override;
  void Linear(const TensorView& x, const PackedWeight& weight, std::span<const float> bias,
              const TensorView& out) override;
  void GateUpSwiglu(const TensorView& x, const PackedWeight& gate_up,
                    const TensorView& out) override;
  void RmsNorm(const TensorView& x, std::span<const float> weight, float eps,
               const TensorView& out) override {
    Norm(x, nullptr, weight, eps, out);
  }
  void AddRmsNorm(const TensorView& residual, const TensorView& delta,
                  std::span<const float> weight, float eps, const TensorView& out) override {
    PHALANX_CHECK(delta.rows == residual.rows && delta.cols == residual.cols);
    PHALANX_CHECK_EQ(delta.stride, delta.cols);
    Norm(residual, static_cast<const float*>(delta.data), weight, eps, out);
  }
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
                    std::span<const RowAdjustment> rows) override {
    const OpProfiler::Scope scope(profiler_, "adjust_logits");
    PHALANX_CHECK(sampling_ != nullptr);
    sampling_->Adjust(logits, first_id, rows);
  }
  void SelectCandidates(const TensorView& logits, int64_t first_id,
                        std::span<const CandidateTask> tasks,
                        std::span<CandidateResult> results) override {
    const OpProfiler::Scope scope(profiler_, "select_candidates");
    PHALANX_CHECK(sampling_ != nullptr);
    stream().Note(sampling_->Select(logits, first_id, tasks, results));
  }

 private:
  void* stream_handle() const override { return device_->stream_handle(); }
  void SumParts(const float* parts, int num_parts, const TensorView& out) override;
  void BeginCollective() override { collectives_.Begin(); }
  void EndCollective() override {
    collectives_.End();
    device_->NoteCollective();
  }
  double CollectiveSeconds() const override { return collectives_.seconds(); }
  void SetWatch(QueueWatch* watch) override { device_->SetWatch(watch); }

  Stream& stream() { return device_->stream(); }
  LinearParams Product(const TensorView& x, const PackedWeight& weight,
                       const TensorView& out) const;
  LinearOptions LinearOptionsFor(const TensorView& out) const;
  void Norm(const TensorView& x, const float* delta, std::span<const float> weight, float eps,
            const TensorView& out);

  CudaBackendOptions options_;
  std::unique_ptr<Device> device_;  // outlives all that follows
  OpProfiler profiler_;
  CollectiveTimer collectives_;
  std::optional<OpProfiler::Scope> step_;
  std::unique_ptr<UploadRing> uploads_;  // while weights are loaded
  std::unique_ptr<StepStage> stage_;
  std::unique_ptr<StepSampling> sampling_;
  void* linear_workspace_ = nullptr;       // of fast numerics
  std::unique_ptr<CudaBlock> steps_;       // the memory on the device of what steps need
  std::unique_ptr<PinnedBuffer> results_;  // HostView's copy
  std::vector<std::byte> raw_;             // of a trace's 16-bit matrix, and widened
  std::vector<float> widened_;
};

void CheckDense(const TensorView& view) {
  PHALANX_CHECK(view.dtype == DType::kF32);
  PHALANX_CHECK_EQ(view.stride, view.cols);
}

Status CudaBackend::PrepareSteps(const StepLimits& limits) {
  PHALANX_CHECK(stage_ == nullptr);
  PHALANX_RETURN_IF_ERROR(Finish());
  uploads_.reset();
  MemoryPlan plan;
  PHALANX_ASSIGN_OR_RETURN(stage_, StepStage::Create(*device_, limits, options_.numerics, plan));
  PHALANX_ASSIGN_OR_RETURN(sampling_, StepSampling::Create(*device_, limits, plan));
  if (options_.numerics == Numerics::kFast) {
    plan.Add("partial products", LinearWorkspaceBytes(device_->num_multiprocessors()),
             &linear_workspace_);
  }
  PHALANX_ASSIGN_OR_RETURN(steps_, CudaBlock::Allocate(*device_, plan));
  PHALANX_ASSIGN_OR_RETURN(
      results_,
      PinnedBuffer::Allocate(*device_, static_cast<size_t>(limits.max_host_floats) * sizeof(float),
                             "results for the host"));
  return OkStatus();
}

std::vector<OpTime> CudaBackend::TakenTimes() {
  static_cast<void>(Finish());
  return profiler_.table();
}

TensorView CudaBackend::HostView(const TensorView& view) {
  const auto count = static_cast<size_t>(view.rows * view.cols);
  if (view.dtype == DType::kF32) {
    CheckDense(view);
    const OpProfiler::Scope scope(profiler_, "host_view");
    const size_t bytes = count * sizeof(float);
    if (results_ != nullptr && bytes <= results_->size_bytes()) {
      device_->Fetch(results_->data(), view.data, bytes);
      return MakeTensor(results_->data(), DType::kF32, view.rows, view.cols);
    }
    widened_.resize(count);
    device_->CopyToHost(widened_.data(), view.data, bytes);
    return MakeTensor(widened_.data(), DType::kF32, view.rows, view.cols);
  }
  widened_.resize(count);
  raw_.resize(static_cast<size_t>(view.rows * view.stride) * SizeInBytes(view.dtype));
  device_->CopyToHost(raw_.data(), view.data, raw_.size());
  const auto widen = view.dtype == DType::kBF16 ? BF16ToFloat : F16ToFloat;
  for (int64_t r = 0; r < view.rows; ++r) {
    const auto* const row = reinterpret_cast<const uint16_t*>(raw_.data()) + r * view.stride;
    std::transform(row, row + view.cols, widened_.begin() + r * view.cols, widen);
  }
  return MakeTensor(widened_.data(), DType::kF32, view.rows, view.cols);
}

// ------------------------------------------------------------------------------------------------

void CudaBackend::Embedding(std::span<const int32_t> ids, const PackedWeight& table,
                            int64_t first_id, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "embedding");
  const auto& weight = static_cast<const CudaPackedWeight&>(table);
  PHALANX_CHECK_EQ(static_cast<int64_t>(ids.size()), out.rows);
  PHALANX_CHECK_EQ(table.spec().in_features, out.cols);
  CheckDense(out);
  LaunchEmbedding(stream(),
                  {.rows = out.rows,
                   .cols = out.cols,
                   .ids = ids.data(),
                   .first_id = first_id,
                   .num_ids = table.spec().out_features,
                   .table = weight.data(),
                   .table_stride = weight.row_stride(),
                   .out = static_cast<float*>(out.data)},
                  options_.activation_dtype);
}

LinearParams CudaBackend::Product(const TensorView& x, const PackedWeight& weight,
                                  const TensorView& out) const {
  const auto& packed = static_cast<const CudaPackedWeight&>(weight);
  PHALANX_CHECK(x.dtype == options_.activation_dtype);
  PHALANX_CHECK_EQ(x.rows, out.rows);
  PHALANX_CHECK_EQ(x.cols, weight.spec().in_features);
  return {.rows = x.rows,
          .in_features = x.cols,
          .out_features = out.cols,
          .x = x.data,
          .weight = packed.data(),
          .out = out.data,
          .x_stride = x.stride,
          .weight_stride = packed.row_stride(),
          .out_stride = out.stride};
}

LinearOptions CudaBackend::LinearOptionsFor(const TensorView& out) const {
  PHALANX_CHECK(options_.numerics == Numerics::kExact || linear_workspace_ != nullptr);
  return {.dtype = options_.activation_dtype,
          .out_dtype = out.dtype,
          .mode = options_.numerics,
          .num_sms = device_->num_multiprocessors(),
          .workspace = linear_workspace_};
}

void CudaBackend::Linear(const TensorView& x, const PackedWeight& weight,
                         std::span<const float> bias, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "linear", weight.spec().name);
  PHALANX_CHECK(weight.spec().layout == WeightLayout::kLinear);
  PHALANX_CHECK_EQ(out.cols, weight.spec().out_features);
  PHALANX_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == out.cols);
  LinearParams product = Product(x, weight, out);
  product.bias = bias.empty() ? nullptr : bias.data();
  LaunchLinear(stream(), product, LinearOptionsFor(out));
}

void CudaBackend::GateUpSwiglu(const TensorView& x, const PackedWeight& gate_up,
                               const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "gate_up_swiglu", gate_up.spec().name);
  PHALANX_CHECK(gate_up.spec().layout == WeightLayout::kGateUp);
  PHALANX_CHECK_EQ(2 * out.cols, gate_up.spec().out_features);
  LaunchGateUpSwiglu(stream(), Product(x, gate_up, out), LinearOptionsFor(out));
}

// ------------------------------------------------------------------------------------------------

void CudaBackend::Norm(const TensorView& x, const float* delta, std::span<const float> weight,
                       float eps, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, delta == nullptr ? "rms_norm" : "add_rms_norm");
  CheckDense(x);
  PHALANX_CHECK(x.rows == out.rows && x.cols == out.cols);
  PHALANX_CHECK_EQ(static_cast<int64_t>(weight.size()), x.cols);
  LaunchAddRmsNorm(stream(),
                   {.rows = x.rows,
                    .cols = x.cols,
                    .residual = static_cast<float*>(x.data),
                    .delta = delta,
                    .weight = weight.data(),
                    .eps = eps,
                    .out = out.data,
                    .out_stride = out.stride},
                   out.dtype);
}

void CudaBackend::Add(const TensorView& a, const TensorView& b, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "add");
  PHALANX_CHECK(a.rows == out.rows && a.cols == out.cols);
  PHALANX_CHECK(b.rows == out.rows && b.cols == out.cols);
  for (const TensorView* const view : {&a, &b, &out}) CheckDense(*view);
  LaunchAdd(stream(), {.count = out.rows * out.cols,
                       .a = static_cast<const float*>(a.data),
                       .b = static_cast<const float*>(b.data),
                       .out = static_cast<float*>(out.data)});
}

void CudaBackend::SumParts(const float* parts, int num_parts, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "sum_parts");
  CheckDense(out);
  LaunchSumParts(stream(), {.count = out.rows * out.cols,
                            .num_parts = num_parts,
                            .parts = parts,
                            .out = static_cast<float*>(out.data)});
}

void CudaBackend::GatherRows(const TensorView& x, std::span<const int32_t> rows,
                             const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "gather_rows");
  PHALANX_CHECK_EQ(static_cast<int64_t>(rows.size()), out.rows);
  PHALANX_CHECK_EQ(x.cols, out.cols);
  CheckDense(x);
  CheckDense(out);
  LaunchGatherRows(stream(), {.rows = out.rows,
                              .cols = out.cols,
                              .x = static_cast<const float*>(x.data),
                              .indices = rows.data(),
                              .out = static_cast<float*>(out.data)});
}

// ------------------------------------------------------------------------------------------------

KvLayout LayoutOf(const KvCache& cache, const HeadLayout& heads) {
  PHALANX_CHECK_EQ(cache.spec().num_kv_heads_local, heads.num_kv_heads_local);
  PHALANX_CHECK_EQ(cache.spec().head_dim, heads.head_dim);
  return {.num_kv_heads = static_cast<int32_t>(heads.num_kv_heads_local),
          .block_size = static_cast<int32_t>(cache.spec().block_size),
          .head_dim = static_cast<int32_t>(heads.head_dim)};
}

void CudaBackend::QkvRopeAppend(const TensorView& qkv, const BatchView& batch,
                                const HeadLayout& heads, const RopeTable& rope, int64_t layer,
                                KvCache& cache, const TensorView& q_out) {
  const OpProfiler::Scope scope(profiler_, "qkv_rope_append");
  PHALANX_CHECK_EQ(2 * rope.half_dim, heads.head_dim);
  PHALANX_CHECK_EQ(qkv.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(q_out.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(qkv.cols,
                   (heads.num_heads_local + 2 * heads.num_kv_heads_local) * heads.head_dim);
  PHALANX_CHECK_EQ(q_out.stride, heads.num_heads_local * heads.head_dim);
  LaunchQkvRopeAppend(stream(),
                      {.num_tokens = batch.num_tokens,
                       .num_heads = static_cast<int32_t>(heads.num_heads_local),
                       .layout = LayoutOf(cache, heads),
                       .qkv = qkv.data,
                       .qkv_stride = qkv.stride,
                       .positions = batch.positions,
                       .seq_of_token = batch.seq_of_token,
                       .block_table = batch.block_table,
                       .max_blocks_per_seq = batch.max_blocks_per_seq,
                       .cos = rope.cos,
                       .sin = rope.sin,
                       .q_out = q_out.data,
                       .cache = static_cast<CudaKvCache&>(cache).layer(layer)},
                      options_.activation_dtype);
}

void CudaBackend::PagedAttention(const TensorView& q, const BatchView& batch,
                                 const HeadLayout& heads, float scale, int64_t layer,
                                 const KvCache& cache, const TensorView& out) {
  const OpProfiler::Scope scope(profiler_, "paged_attention");
  PHALANX_CHECK_EQ(q.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(out.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(q.stride, heads.num_heads_local * heads.head_dim);
  PHALANX_CHECK_EQ(out.stride, q.stride);
  if (q.rows == 0 || q.cols == 0) return;
  AttentionParams params{.num_heads = static_cast<int32_t>(heads.num_heads_local),
                         .layout = LayoutOf(cache, heads),
                         .scale = scale,
                         .q = q.data,
                         .cache = static_cast<const CudaKvCache&>(cache).layer(layer),
                         .block_table = batch.block_table,
                         .max_blocks_per_seq = batch.max_blocks_per_seq,
                         .out = out.data};
  stage_->Fill(params);
  LaunchAttention(stream(), params, options_.activation_dtype);
}

}  // namespace

std::unique_ptr<Backend> CreateCudaBackend(const CudaBackendOptions& options,
                                           std::unique_ptr<Device> device) {
  return std::make_unique<CudaBackend>(options, std::move(device));
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
