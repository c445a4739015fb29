#include <algorithm>
#include <cstring>

#include "kernels/cuda/step_stage.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

// A part has at most as many partials as a large item has rows; as many parts as multiprocessors
// take at once are enough to fill the device.
constexpr int64_t kPartsPerMultiprocessor = 4;
constexpr int64_t kPartRows = kAttentionLargeWarps * kAttentionWarpRows;
constexpr size_t kArrayAlignment = 16;

constexpr size_t Padded(size_t bytes) {
  return (bytes + kArrayAlignment - 1) / kArrayAlignment * kArrayAlignment;
}

}  // namespace

// Lays arrays one behind the other, at the same offsets on the host and on the device.
class StepStage::Packer {
 public:
  Packer(const PinnedBuffer& host, void* device)
      : host_(static_cast<std::byte*>(host.data())),
        device_(static_cast<const std::byte*>(device)),
        capacity_(host.size_bytes()) {}

  template <typename T>
  const T* Add(const T* values, size_t count) {
    const size_t bytes = count * sizeof(T);
    PHALANX_CHECK_LE(used_ + bytes, capacity_);
    if (bytes > 0) std::memcpy(host_ + used_, values, bytes);
    const auto* const on_device = reinterpret_cast<const T*>(device_ + used_);
    used_ += Padded(bytes);
    return on_device;
  }
  template <typename T>
  const T* Add(const std::vector<T>& values) {
    return Add(values.data(), values.size());
  }
  size_t used() const { return std::min(used_, capacity_); }

 private:
  std::byte* host_;
  const std::byte* device_;
  size_t capacity_;
  size_t used_ = 0;
};

StepStage::StepStage(Device& device, const StepLimits& limits, Numerics numerics)
    : limits_(limits),
      groups_(GroupHeads(limits.heads.kv_head_of, limits.heads.num_kv_heads_local)),
      plan_options_{
          .mode = numerics,
          .num_multiprocessors = device.num_multiprocessors(),
          .max_partials = kPartsPerMultiprocessor * kPartRows * device.num_multiprocessors(),
          .large_warps =
              AttentionLargeWarps(limits.heads.head_dim, numerics, device.max_shared_bytes())},
      block_table_(static_cast<size_t>(limits.max_num_seqs * limits.max_blocks_per_seq)) {
  sequences_.reserve(static_cast<size_t>(limits.max_num_seqs));
}

size_t StepStage::MaxBytes() const {
  const int64_t items =
      MaxAttentionItems(groups_, limits_.max_num_tokens, limits_.max_num_seqs, plan_options_);
  const auto bytes = [](int64_t count, size_t size) {
    return Padded(static_cast<size_t>(count) * size);
  };
  return 3 * bytes(limits_.max_num_tokens, sizeof(int32_t)) +
         bytes(limits_.max_num_seqs + 1, sizeof(int32_t)) +
         bytes(limits_.max_num_seqs * limits_.max_blocks_per_seq, sizeof(int32_t)) +
         bytes(limits_.max_num_logit_rows, sizeof(int32_t)) + bytes(items, sizeof(AttentionItem)) +
         bytes(items, sizeof(AttentionCombination));
}

StatusOr<std::unique_ptr<StepStage>> StepStage::Create(Device& device, const StepLimits& limits,
                                                       Numerics numerics, MemoryPlan& plan) {
  std::unique_ptr<StepStage> stage(new StepStage(device, limits, numerics));
  const size_t bytes = stage->MaxBytes();
  plan.Add("step arrays", bytes, &stage->arrays_);
  plan.Add("attention's partial results",
           static_cast<size_t>(stage->plan_options_.max_partials * (limits.heads.head_dim + 2)) *
               sizeof(float),
           &stage->partials_);
  PHALANX_ASSIGN_OR_RETURN(stage->places_,
                           SendPlaces::Create(device, bytes, "step arrays to send"));
  return StatusOr<std::unique_ptr<StepStage>>(std::move(stage));
}

// The width.
int64_t StepStage::PackBlockTable(const BatchView& batch) {
  int64_t width = 0;
  for (int64_t i = 0; i < batch.num_tokens; ++i) {
    width = std::max(width, batch.positions[i] / limits_.block_size + 1);
  }
  PHALANX_CHECK_LE(width, batch.max_blocks_per_seq);
  PHALANX_CHECK_LE(width, limits_.max_blocks_per_seq);
  for (int64_t s = 0; s < batch.num_seqs; ++s) {
    std::copy_n(batch.block_table + s * batch.max_blocks_per_seq, width,
                block_table_.begin() + s * width);
  }
  return width;
}

ForwardBatch StepStage::Upload(const ForwardBatch& host) {
  const BatchView& batch = host.batch;
  PHALANX_CHECK_LE(batch.num_tokens, limits_.max_num_tokens);
  PHALANX_CHECK_LE(batch.num_seqs, limits_.max_num_seqs);
  PHALANX_CHECK_LE(static_cast<int64_t>(host.logit_rows.size()), limits_.max_num_logit_rows);
  sequences_.clear();
  for (int64_t i = 0; i < batch.num_seqs; ++i) {
    const int32_t first = batch.row_start[i];
    const int32_t count = batch.row_start[i + 1] - first;
    sequences_.push_back({.first_row = first,
                          .num_rows = count,
                          .first_position = count > 0 ? batch.positions[first] : 0});
  }
  plan_ = PlanAttention(sequences_, groups_, plan_options_);

  Packer packer(places_->Next(), arrays_);
  const auto num_tokens = static_cast<size_t>(batch.num_tokens);
  const auto num_seqs = static_cast<size_t>(batch.num_seqs);
  ForwardBatch on_device = host;
  on_device.token_ids = {packer.Add(host.token_ids.data(), host.token_ids.size()),
                         host.token_ids.size()};
  on_device.batch.positions = packer.Add(batch.positions, num_tokens);
  on_device.batch.seq_of_token = packer.Add(batch.seq_of_token, num_tokens);
  on_device.batch.row_start = packer.Add(batch.row_start, num_seqs + 1);
  on_device.batch.max_blocks_per_seq = PackBlockTable(batch);
  on_device.batch.block_table = packer.Add(
      block_table_.data(), num_seqs * static_cast<size_t>(on_device.batch.max_blocks_per_seq));
  on_device.logit_rows = {packer.Add(host.logit_rows.data(), host.logit_rows.size()),
                          host.logit_rows.size()};
  items_ = packer.Add(plan_.items);
  combinations_ = packer.Add(plan_.combinations);
  places_->Send(arrays_, packer.used());
  return on_device;
}

void StepStage::Fill(AttentionParams& params) const {
  params.mode = plan_options_.mode;
  params.large_warps = plan_options_.large_warps;
  params.items = items_;
  params.combinations = combinations_;
  params.num_small = plan_.num_small;
  params.num_large = plan_.num_large();
  params.num_combinations = static_cast<int32_t>(plan_.combinations.size());
  params.partial_sums = static_cast<float*>(partials_);
  params.partial_weights = params.partial_sums + plan_.num_partials * params.layout.head_dim;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
