#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

#include "kernels/cpu/adjust_kernel.h"
#include "kernels/cpu/attention_tasks.h"
#include "kernels/cpu/cpu_kv_cache.h"
#include "kernels/cpu/cpu_packed_weight.h"

namespace phalanx {
namespace {

class CpuBuffer final : public Buffer {
 public:
  CpuBuffer(MappedMemory memory, size_t bytes) : memory_(std::move(memory)), bytes_(bytes) {}
  void* data() const override { return memory_.data(); }
  size_t size_bytes() const override { return bytes_; }

 private:
  MappedMemory memory_;
  size_t bytes_;
};

// Below this many elements a loop is over before a second thread has begun.
constexpr int64_t kMinElementsPerTask = 4096;

}  // namespace

CpuBackend::CpuBackend(const CpuBackendOptions& options)
    : isa_(options.isa),
      activation_dtype_(options.activation_dtype),
      op_profile_(options.op_profile),
      threads_(options.threads),
      linear_(isa_, options.activation_dtype,
              isa_ == CpuIsa::kAvx512 ? FindVnniFunction() : nullptr, threads_),
      row_(GetRowKernels(isa_)),
      rope_(GetRopeKernel(isa_)),
      attention_(GetAttentionKernel(isa_)),
      candidates_(GetCandidateKernels(isa_)) {}

StatusOr<std::unique_ptr<Buffer>> CpuBackend::Allocate(size_t bytes, std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(MappedMemory memory, MappedMemory::Allocate(bytes, name));
  return std::make_unique<CpuBuffer>(std::move(memory), bytes);
}

StatusOr<std::unique_ptr<Buffer>> CpuBackend::AllocateParts(const MemoryPlan& plan) {
  const std::string_view name = plan.parts().empty() ? std::string_view("nothing")
                                                     : std::string_view(plan.parts().front().name);
  PHALANX_ASSIGN_OR_RETURN(auto block, Allocate(plan.block_bytes(), name));
  plan.PlaceIn(block->data());
  return block;
}

void CpuBackend::CopyToDevice(void* dst, const void* src, size_t bytes) {
  if (bytes > 0) std::memcpy(dst, src, bytes);
}

void CpuBackend::CopyToHost(void* dst, const void* src, size_t bytes) {
  if (bytes > 0) std::memcpy(dst, src, bytes);
}

StatusOr<std::unique_ptr<PackedWeight>> CpuBackend::CreateWeight(const WeightSpec& spec) {
  PHALANX_ASSIGN_OR_RETURN(std::unique_ptr<PackedWeight> weight,
                           CpuPackedWeight::Create(spec, linear_.ArrangementFor(spec.dtype)));
  return weight;
}

void CpuBackend::PackRows(PackedWeight& weight, int64_t first_row, const TensorView& rows) {
  static_cast<CpuPackedWeight&>(weight).PackRows(first_row, rows);
}

void CpuBackend::PackQuantizedRows(PackedWeight& weight, int64_t first_row,
                                   const QuantizedRows& rows) {
  static_cast<CpuPackedWeight&>(weight).PackQuantizedRows(first_row, rows);
}

StatusOr<std::unique_ptr<KvCache>> CpuBackend::CreateKvCache(const KvCacheSpec& spec) {
  PHALANX_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> cache, CpuKvCache::Create(spec));
  return cache;
}

template <typename Function>
void CpuBackend::ForEachRow(int64_t num_rows, int64_t work_per_row, const Function& function) {
  const int64_t rows_per_task =
      std::max<int64_t>(1, kMinElementsPerTask / std::max<int64_t>(1, work_per_row));
  const int64_t num_tasks = (num_rows + rows_per_task - 1) / rows_per_task;
  threads_.ParallelFor(num_tasks, [&](int64_t task, int) {
    const int64_t end = std::min((task + 1) * rows_per_task, num_rows);
    for (int64_t row = task * rows_per_task; row < end; ++row) function(row);
  });
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::Embedding(std::span<const int32_t> ids, const PackedWeight& table,
                           int64_t first_id, const TensorView& out) {
  const ScopedOpTime timed(times(), "embedding");
  const auto& weight = static_cast<const CpuPackedWeight&>(table);
  PHALANX_CHECK(weight.spec().layout == WeightLayout::kLinear);
  PHALANX_CHECK_EQ(out.rows, static_cast<int64_t>(ids.size()));
  PHALANX_CHECK_EQ(out.cols, weight.spec().in_features);
  PHALANX_CHECK(out.dtype == DType::kF32);
  ForEachRow(out.rows, out.cols, [&](int64_t t) {
    float* row = out.row<float>(t);
    const int64_t id = ids[static_cast<size_t>(t)] - first_id;
    if (id < 0 || id >= weight.spec().out_features) {
      std::fill_n(row, out.cols, 0.0F);
      return;
    }
    if (weight.spec().quantization.is_quantized()) {
      return weight.ReadRow(id, {row, static_cast<size_t>(out.cols)});
    }
    const CpuPackedWeight::RowPlace place = weight.PlaceOf(id);
    const auto gather = [&](const auto* elements, const auto& widen) {
      for (int64_t k = 0; k < out.cols; ++k) row[k] = widen(elements[weight.IndexOf(k)]);
    };
    const std::byte* panel = weight.panel(place.panel);
    const auto* halves = reinterpret_cast<const uint16_t*>(panel) + place.offset;
    switch (weight.spec().dtype) {
      case DType::kBF16:
        return gather(halves, BF16ToFloat);
      case DType::kF16:
        return gather(halves, F16ToFloat);
      default:
        return gather(reinterpret_cast<const float*>(panel) + place.offset,
                      [](float value) { return value; });
    }
  });
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::Linear(const TensorView& x, const PackedWeight& weight,
                        std::span<const float> bias, const TensorView& out) {
  const ScopedOpTime timed(times(), "linear", weight.spec().name);
  PHALANX_CHECK(weight.spec().layout == WeightLayout::kLinear);
  PHALANX_CHECK_EQ(out.cols, weight.spec().out_features);
  PHALANX_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == out.cols);
  linear_.Multiply(x, static_cast<const CpuPackedWeight&>(weight), LinearEpilogue::kBias, bias,
                   out);
}

void CpuBackend::GateUpSwiglu(const TensorView& x, const PackedWeight& gate_up,
                              const TensorView& out) {
  const ScopedOpTime timed(times(), "gate_up_swiglu", gate_up.spec().name);
  PHALANX_CHECK(gate_up.spec().layout == WeightLayout::kGateUp);
  PHALANX_CHECK_EQ(2 * out.cols, gate_up.spec().out_features);
  linear_.Multiply(x, static_cast<const CpuPackedWeight&>(gate_up), LinearEpilogue::kSwiglu, {},
                   out);
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::RmsNorm(const TensorView& x, std::span<const float> weight, float eps,
                         const TensorView& out) {
  const ScopedOpTime timed(times(), "rms_norm");
  PHALANX_CHECK(x.rows == out.rows && x.cols == out.cols);
  PHALANX_CHECK_EQ(static_cast<int64_t>(weight.size()), x.cols);
  ForEachRow(x.rows, x.cols, [&](int64_t t) {
    row_.rms_norm(x.row<float>(t), weight.data(), eps, x.cols, out.row<float>(t));
  });
}

void CpuBackend::AddRmsNorm(const TensorView& residual, const TensorView& delta,
                            std::span<const float> weight, float eps, const TensorView& out) {
  const ScopedOpTime timed(times(), "add_rms_norm");
  PHALANX_CHECK(residual.rows == out.rows && residual.cols == out.cols);
  PHALANX_CHECK(residual.rows == delta.rows && residual.cols == delta.cols);
  PHALANX_CHECK_EQ(static_cast<int64_t>(weight.size()), residual.cols);
  ForEachRow(residual.rows, residual.cols, [&](int64_t t) {
    float* sum = residual.row<float>(t);
    row_.add(sum, delta.row<float>(t), residual.cols, sum);
    row_.rms_norm(sum, weight.data(), eps, residual.cols, out.row<float>(t));
  });
}

void CpuBackend::Add(const TensorView& a, const TensorView& b, const TensorView& out) {
  const ScopedOpTime timed(times(), "add");
  PHALANX_CHECK(a.rows == out.rows && a.cols == out.cols);
  PHALANX_CHECK(b.rows == out.rows && b.cols == out.cols);
  ForEachRow(out.rows, out.cols, [&](int64_t t) {
    row_.add(a.row<float>(t), b.row<float>(t), out.cols, out.row<float>(t));
  });
}

void CpuBackend::GatherRows(const TensorView& x, std::span<const int32_t> rows,
                            const TensorView& out) {
  const ScopedOpTime timed(times(), "gather_rows");
  PHALANX_CHECK_EQ(static_cast<int64_t>(rows.size()), out.rows);
  PHALANX_CHECK_EQ(x.cols, out.cols);
  ForEachRow(out.rows, out.cols, [&](int64_t i) {
    const int64_t source = rows[static_cast<size_t>(i)];
    PHALANX_CHECK(source >= 0 && source < x.rows);
    std::copy_n(x.row<float>(source), x.cols, out.row<float>(i));
  });
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::QkvRopeAppend(const TensorView& qkv, const BatchView& batch,
                               const HeadLayout& heads, const RopeTable& rope, int64_t layer,
                               KvCache& cache, const TensorView& q_out) {
  const ScopedOpTime timed(times(), "qkv_rope_append");
  const KvLayerView view = static_cast<CpuKvCache&>(cache).layer(layer);
  PHALANX_CHECK_EQ(view.num_kv_heads, heads.num_kv_heads_local);
  PHALANX_CHECK_EQ(view.head_dim, heads.head_dim);
  PHALANX_CHECK_EQ(2 * rope.half_dim, heads.head_dim);
  PHALANX_CHECK_EQ(qkv.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(q_out.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(qkv.cols,
                   (heads.num_heads_local + 2 * heads.num_kv_heads_local) * heads.head_dim);
  PHALANX_CHECK_EQ(q_out.cols, heads.num_heads_local * heads.head_dim);
  if (qkv.cols == 0) return;
  ForEachRow(qkv.rows, qkv.cols, [&](int64_t t) {
    const int64_t position = batch.positions[t];
    PHALANX_CHECK(position >= 0 && position < rope.num_positions);
    const int64_t index = position / view.block_size;
    PHALANX_CHECK_LT(index, batch.max_blocks_per_seq);
    const int64_t block =
        batch.block_table[batch.seq_of_token[t] * batch.max_blocks_per_seq + index];
    PHALANX_CHECK(block >= 0 && block < view.num_blocks);
    rope_({.qkv = qkv.row<float>(t),
           .cos = rope.cos + position * rope.half_dim,
           .sin = rope.sin + position * rope.half_dim,
           .q_out = q_out.row<float>(t),
           .num_heads = heads.num_heads_local,
           .block = block,
           .slot = position % view.block_size},
          view);
  });
}

void CpuBackend::PagedAttention(const TensorView& q, const BatchView& batch,
                                const HeadLayout& heads, float scale, int64_t layer,
                                const KvCache& cache, const TensorView& out) {
  const ScopedOpTime timed(times(), "paged_attention");
  PHALANX_CHECK_EQ(q.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(out.rows, batch.num_tokens);
  PHALANX_CHECK_EQ(q.cols, heads.num_heads_local * heads.head_dim);
  PHALANX_CHECK_EQ(out.cols, q.cols);
  PHALANX_CHECK_EQ(static_cast<int64_t>(heads.kv_head_of.size()), heads.num_heads_local);
  if (q.rows == 0 || q.cols == 0) return;
  const KvLayerView view = static_cast<const CpuKvCache&>(cache).layer(layer);
  PHALANX_CHECK_EQ(view.num_kv_heads, heads.num_kv_heads_local);
  PHALANX_CHECK_EQ(view.head_dim, heads.head_dim);
  PlanAttentionTasks(batch, heads, threads_.num_threads(), attention_tasks_);
  const AttentionProblem problem{.q = q.row<float>(0),
                                 .q_stride = q.stride,
                                 .out = out.row<float>(0),
                                 .out_stride = out.stride,
                                 .positions = batch.positions,
                                 .block_table = batch.block_table,
                                 .max_blocks_per_seq = batch.max_blocks_per_seq,
                                 .scale = scale,
                                 .cache = view};
  const size_t scratch_floats = AttentionScratchFloats(heads.head_dim);
  float* scratch =
      attention_scratch_.Floats(scratch_floats * static_cast<size_t>(threads_.num_threads()));
  // The last tasks of a prefill see the longest context; they go first so that the end is short.
  const auto num_tasks = static_cast<int64_t>(attention_tasks_.size());
  threads_.ParallelFor(num_tasks, [&](int64_t task, int thread) {
    attention_(problem, attention_tasks_[static_cast<size_t>(num_tasks - 1 - task)],
               scratch + scratch_floats * static_cast<size_t>(thread));
  });
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::AdjustLogits(const TensorView& logits, int64_t first_id,
                              std::span<const RowAdjustment> rows) {
  threads_.ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t i, int) {
    const RowAdjustment& row = rows[static_cast<size_t>(i)];
    PHALANX_CHECK(row.row >= 0 && row.row < logits.rows);
    AdjustRow(row, first_id, {logits.row<float>(row.row), static_cast<size_t>(logits.cols)});
  });
}

// ---------------------------------------------------------------------------------------------

void CpuBackend::SelectForTask(const LogitsRow& row, int64_t first_id, const CandidateTask& task,
                               float* group_max, CandidateResult& result) const {
  const RowSummary summary = candidates_.summarize(row, group_max);
  result.max = summary.max;
  result.num_nan = summary.num_nan;
  const bool has_any = summary.max > -std::numeric_limits<float>::infinity();
  result.sum_exp = has_any ? candidates_.sum_exp(row, summary.max, task.inv_temperature) : 0.0;
  result.gumbel = {};
  result.gumbel_score = -std::numeric_limits<double>::infinity();
  if (task.gumbel == CandidateTask::Gumbel::kWanted) {
    candidates_.gumbel(row, first_id, task, result);
  }
  const auto raw = [&](const Candidate& candidate) { return task.raw[candidate.id - first_id]; };
  const bool has_gumbel = result.gumbel.id >= 0;
  result.gumbel_raw = task.raw != nullptr && has_gumbel ? raw(result.gumbel) : 0.0F;
  const int64_t target = task.target - first_id;
  const bool has_target = task.target >= 0 && target >= 0 && target < row.num_columns;
  result.target_logit = has_target ? row.logits[target] : 0.0F;

  result.candidates.clear();
  result.raw.clear();
  if (task.top_k <= 0 || !has_any) return;
  // The k-th largest group maximum is a lower bound of the k-th largest logit.
  const auto k = static_cast<size_t>(task.top_k);
  const auto num_groups =
      static_cast<size_t>((row.num_columns + kCandidateGroup - 1) / kCandidateGroup);
  float threshold = -std::numeric_limits<float>::infinity();
  if (k <= num_groups) {
    float* sorted = group_max + num_groups;
    std::copy_n(group_max, num_groups, sorted);
    std::nth_element(sorted, sorted + k - 1, sorted + num_groups, std::greater<>());
    threshold = sorted[k - 1];
  }
  candidates_.collect(row, first_id, group_max, threshold, result.candidates);
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  std::vector<Candidate>& found = result.candidates;
  if (found.size() > k) {
    std::nth_element(found.begin(), found.begin() + static_cast<ptrdiff_t>(k), found.end(), before);
    found.resize(k);
  }
  std::sort(found.begin(), found.end(), before);
  if (task.raw != nullptr) std::ranges::transform(found, std::back_inserter(result.raw), raw);
}

void CpuBackend::SelectCandidates(const TensorView& logits, int64_t first_id,
                                  std::span<const CandidateTask> tasks,
                                  std::span<CandidateResult> results) {
  const ScopedOpTime timed(times(), "select_candidates");
  PHALANX_CHECK_EQ(tasks.size(), results.size());
  // Group maxima, and a copy of them to select from.
  const auto groups =
      static_cast<size_t>((logits.cols + kCandidateGroup - 1) / kCandidateGroup + 16) / 16 * 16;
  float* group_max = group_max_.Floats(2 * groups * static_cast<size_t>(threads_.num_threads()));
  threads_.ParallelFor(static_cast<int64_t>(tasks.size()), [&](int64_t i, int thread) {
    const CandidateTask& task = tasks[static_cast<size_t>(i)];
    PHALANX_CHECK(task.row >= 0 && task.row < logits.rows);
    SelectForTask({logits.row<float>(task.row), logits.cols}, first_id, task,
                  group_max + 2 * groups * static_cast<size_t>(thread),
                  results[static_cast<size_t>(i)]);
  });
}

}  // namespace phalanx
