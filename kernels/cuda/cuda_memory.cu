#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/linear.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

uint16_t Narrow(float value, DType element) {
  return element == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
}

}  // namespace

StatusOr<std::unique_ptr<CudaBuffer>> CudaBuffer::Allocate(Device& device, size_t bytes,
                                                           std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(void* const data, device.Allocate(bytes, name));
  return std::unique_ptr<CudaBuffer>(new CudaBuffer(device, data, bytes));
}

// ------------------------------------------------------------------------------------------------

StatusOr<std::unique_ptr<CudaPackedWeight>> CudaPackedWeight::Create(Device& device,
                                                                     const WeightSpec& spec,
                                                                     DType element) {
  if (spec.dtype != element && spec.dtype != DType::kF32) {
    return InvalidArgumentError("weight {}: dtype is {}, allowed with activations in {}: {}, F32",
                                spec.name, Name(spec.dtype), Name(element), Name(element));
  }
  const bool gate_up = spec.layout == WeightLayout::kGateUp;
  if (gate_up && spec.out_features % 2 != 0) {
    return InvalidArgumentError("weight {}: has {} rows, allowed: as many gate as up rows",
                                spec.name, spec.out_features);
  }
  const int64_t rows = gate_up ? GateUpRows(spec.out_features / 2) : spec.out_features;
  const auto bytes = static_cast<size_t>(rows * RowStride(spec.in_features)) * sizeof(uint16_t);
  PHALANX_ASSIGN_OR_RETURN(auto buffer, CudaBuffer::Allocate(device, bytes, spec.name));
  return std::unique_ptr<CudaPackedWeight>(new CudaPackedWeight(spec, element, std::move(buffer)));
}

void CudaPackedWeight::PackRows(Device& device, int64_t first_row, const TensorView& rows) {
  const int64_t stride = row_stride();
  const bool gate_up = spec().layout == WeightLayout::kGateUp;
  const auto physical = [&](int64_t row) {
    return gate_up ? GateUpRow(row, spec().out_features / 2) : row;
  };
  std::vector<uint16_t> staging;
  // Rows that follow each other on the device go there in one copy.
  for (int64_t begin = 0; begin < rows.rows;) {
    const int64_t to = physical(first_row + begin);
    int64_t end = begin + 1;
    while (end < rows.rows && physical(first_row + end) == to + end - begin) ++end;
    staging.assign(static_cast<size_t>((end - begin) * stride), 0);
    for (int64_t r = begin; r < end; ++r) {
      uint16_t* const out = staging.data() + (r - begin) * stride;
      if (rows.dtype == DType::kF32) {
        const auto* const in = rows.row<const float>(r);
        std::transform(in, in + rows.cols, out,
                       [&](float value) { return Narrow(value, element_); });
      } else {
        std::copy_n(rows.row<const uint16_t>(r), rows.cols, out);
      }
    }
    device.CopyToDevice(static_cast<uint16_t*>(buffer_->data()) + to * stride, staging.data(),
                        staging.size() * sizeof(uint16_t));
    begin = end;
  }
}

// ------------------------------------------------------------------------------------------------

StatusOr<std::unique_ptr<CudaKvCache>> CudaKvCache::Create(Device& device, const KvCacheSpec& spec,
                                                           DType element) {
  if (spec.dtype != element) {
    return InvalidField("--kv-cache-dtype", Name(spec.dtype),
                        fmt::format("{}, as the activations", Name(element)));
  }
  if (spec.block_size < 16 || spec.block_size % 16 != 0) {
    return InvalidField("--block-size", spec.block_size, "multiples of 16");
  }
  const int64_t layer_bytes =
      KvBlockBytes(spec) / std::max<int64_t>(spec.num_layers, 1) * spec.num_blocks;
  PHALANX_ASSIGN_OR_RETURN(
      auto buffer,
      CudaBuffer::Allocate(device, static_cast<size_t>(layer_bytes * spec.num_layers), "KV cache"));
  return std::unique_ptr<CudaKvCache>(new CudaKvCache(spec, std::move(buffer), layer_bytes));
}

// ------------------------------------------------------------------------------------------------

StatusOr<ForwardBatch> StepArrays::Upload(Device& device, const ForwardBatch& host) {
  const BatchView& batch = host.batch;
  staging_.clear();
  const auto add = [&](const int32_t* values, int64_t count) {
    const auto at = static_cast<int64_t>(staging_.size());
    if (count > 0) staging_.insert(staging_.end(), values, values + count);
    return at;
  };
  const auto num_ids = static_cast<int64_t>(host.token_ids.size());
  const auto num_logits = static_cast<int64_t>(host.logit_rows.size());
  const int64_t ids = add(host.token_ids.data(), num_ids);
  const int64_t positions = add(batch.positions, batch.num_tokens);
  const int64_t seq_of_token = add(batch.seq_of_token, batch.num_tokens);
  const int64_t row_start = add(batch.row_start, batch.num_seqs + 1);
  const int64_t table = add(batch.block_table, batch.num_seqs * batch.max_blocks_per_seq);
  const int64_t logit_rows = add(host.logit_rows.data(), num_logits);
  const size_t bytes = staging_.size() * sizeof(int32_t);
  if (buffer_ == nullptr || buffer_->size_bytes() < bytes) {
    PHALANX_ASSIGN_OR_RETURN(buffer_, CudaBuffer::Allocate(device, 2 * bytes, "step arrays"));
  }
  device.CopyToDevice(buffer_->data(), staging_.data(), bytes);
  const auto* const base = static_cast<const int32_t*>(buffer_->data());
  ForwardBatch on_device{.token_ids = {base + ids, static_cast<size_t>(num_ids)},
                         .batch = batch,
                         .logit_rows = {base + logit_rows, static_cast<size_t>(num_logits)}};
  on_device.batch.positions = base + positions;
  on_device.batch.seq_of_token = base + seq_of_token;
  on_device.batch.row_start = base + row_start;
  on_device.batch.block_table = base + table;
  return on_device;
}

// ------------------------------------------------------------------------------------------------

namespace {

// Grows with room to spare, so that after some steps it stays where it is.
Status Reserve(Device& device, size_t bytes, std::string_view name,
               std::unique_ptr<CudaBuffer>& buffer) {
  if (buffer != nullptr && buffer->size_bytes() >= bytes) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(buffer, CudaBuffer::Allocate(device, 2 * bytes, name));
  return OkStatus();
}

template <typename T>
Status UploadVector(Device& device, const std::vector<T>& values, std::string_view name,
                    std::unique_ptr<CudaBuffer>& buffer) {
  const size_t bytes = values.size() * sizeof(T);
  PHALANX_RETURN_IF_ERROR(Reserve(device, bytes, name, buffer));
  device.CopyToDevice(buffer->data(), values.data(), bytes);
  return OkStatus();
}

}  // namespace

Status StepAttention::Fill(Device& device, const HeadLayout& heads, AttentionMode mode,
                           AttentionParams& params) {
  if (!is_planned_) {
    std::vector<SequenceRows> sequences;
    for (int64_t i = 0; i < host_.num_seqs; ++i) {
      const int32_t first = host_.row_start[i];
      const int32_t count = host_.row_start[i + 1] - first;
      sequences.push_back({.first_row = first,
                           .num_rows = count,
                           .first_position = count > 0 ? host_.positions[first] : 0});
    }
    // A part has at most kAttentionLargeRows partials; as many parts as multiprocessors take at
    // once are enough to fill the device.
    constexpr int64_t kPartsPerMultiprocessor = 4;
    plan_ = PlanAttention(sequences, GroupHeads(heads.kv_head_of, heads.num_kv_heads_local),
                          {.mode = mode,
                           .num_multiprocessors = device.num_multiprocessors(),
                           .max_partials = kPartsPerMultiprocessor * kAttentionLargeRows *
                                           device.num_multiprocessors()});
    PHALANX_RETURN_IF_ERROR(UploadVector(device, plan_.items, "attention's plan", items_));
    PHALANX_RETURN_IF_ERROR(
        UploadVector(device, plan_.combinations, "attention's plan", combinations_));
    PHALANX_RETURN_IF_ERROR(Reserve(
        device, static_cast<size_t>(plan_.num_partials * (heads.head_dim + 2)) * sizeof(float),
        "attention's partial results", partials_));
    is_planned_ = true;
  }
  params.mode = mode;
  params.items = static_cast<const AttentionItem*>(items_->data());
  params.combinations = static_cast<const AttentionCombination*>(combinations_->data());
  params.num_small = plan_.num_small;
  params.num_large = plan_.num_large();
  params.num_combinations = static_cast<int32_t>(plan_.combinations.size());
  params.partial_sums = static_cast<float*>(partials_->data());
  params.partial_weights = params.partial_sums + plan_.num_partials * heads.head_dim;
  return OkStatus();
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
