// What the backend keeps in a device's memory: buffers, weights, the KV cache, the step's arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Freed on destruction. The device outlives it.
class CudaBuffer final : public Buffer {
 public:
  static StatusOr<std::unique_ptr<CudaBuffer>> Allocate(Device& device, size_t bytes,
                                                        std::string_view name);
  ~CudaBuffer() override { device_.Free(data_); }
  void* data() const override { return data_; }
  size_t size_bytes() const override { return size_bytes_; }

 private:
  CudaBuffer(Device& device, void* data, size_t size_bytes)
      : device_(device), data_(data), size_bytes_(size_bytes) {}

  Device& device_;
  void* data_;
  size_t size_bytes_;
};

// Elements from one row to the next, so that each row begins where 16-byte loads may.
constexpr int64_t RowStride(int64_t cols) { return (cols + 7) / 8 * 8; }

// [physical rows, RowStride(in_features)], padding zero; the physical row of a logical one is
// kernels/cuda/linear.h's.
class CudaPackedWeight final : public PackedWeight {
 public:
  // INVALID_ARGUMENT for a shape or dtype that `element` cannot hold: f32 is rounded to it, another
  // 16-bit type is refused. RESOURCE_EXHAUSTED without memory.
  static StatusOr<std::unique_ptr<CudaPackedWeight>> Create(Device& device, const WeightSpec& spec,
                                                            DType element);

  size_t size_bytes() const override { return buffer_->size_bytes(); }
  const void* data() const { return buffer_->data(); }
  int64_t row_stride() const { return RowStride(spec().in_features); }

  // Safe from several threads for disjoint rows.
  void PackRows(Device& device, int64_t first_row, const TensorView& rows);

 private:
  CudaPackedWeight(const WeightSpec& spec, DType element, std::unique_ptr<CudaBuffer> buffer)
      : PackedWeight(spec), element_(element), buffer_(std::move(buffer)) {}

  DType element_;
  std::unique_ptr<CudaBuffer> buffer_;
};

// Per layer: [num_blocks, num_kv_heads_local, K and V, block_size, head_dim].
class CudaKvCache final : public KvCache {
 public:
  static StatusOr<std::unique_ptr<CudaKvCache>> Create(Device& device, const KvCacheSpec& spec,
                                                       DType element);

  size_t size_bytes() const override { return buffer_->size_bytes(); }
  void* layer(int64_t index) const {
    return static_cast<std::byte*>(buffer_->data()) + index * layer_bytes_;
  }

 private:
  CudaKvCache(const KvCacheSpec& spec, std::unique_ptr<CudaBuffer> buffer, int64_t layer_bytes)
      : KvCache(spec), buffer_(std::move(buffer)), layer_bytes_(layer_bytes) {}

  std::unique_ptr<CudaBuffer> buffer_;
  int64_t layer_bytes_;
};

// A step's arrays on the device, at one address for as long as no larger step comes.
class StepArrays {
 public:
  // All of the batch's arrays in one copy, valid until the next call.
  StatusOr<ForwardBatch> Upload(Device& device, const ForwardBatch& host);

 private:
  std::vector<int32_t> staging_;
  std::unique_ptr<CudaBuffer> buffer_;
};

// A step's plan of attention on the device, made for its first layer and used by all.
class StepAttention {
 public:
  // The next step's rows come; `host` is valid until its last op.
  void Begin(const BatchView& host) {
    host_ = host;
    is_planned_ = false;
  }
  // Fills what comes of the plan; RESOURCE_EXHAUSTED without memory.
  Status Fill(Device& device, const HeadLayout& heads, AttentionMode mode, AttentionParams& params);

 private:
  BatchView host_;
  bool is_planned_ = false;
  AttentionPlan plan_;
  std::unique_ptr<CudaBuffer> items_;
  std::unique_ptr<CudaBuffer> combinations_;
  std::unique_ptr<CudaBuffer> partials_;  // sums, then weights
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
