// What the backend keeps in a device's memory: buffers, weights, the KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/backend.h"
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

// The parts of a plan, freed together. The device outlives it.
class CudaBlock final : public Buffer {
 public:
  static StatusOr<std::unique_ptr<CudaBlock>> Allocate(Device& device, const MemoryPlan& plan);
  ~CudaBlock() override { device_.FreeParts(parts_); }
  void* data() const override { return parts_.empty() ? nullptr : parts_.front(); }
  size_t size_bytes() const override { return size_bytes_; }

 private:
  CudaBlock(Device& device, std::vector<void*> parts, size_t size_bytes)
      : device_(device), parts_(std::move(parts)), size_bytes_(size_bytes) {}

  Device& device_;
  std::vector<void*> parts_;
  size_t size_bytes_;
};

// Host memory for Device::Send and Device::Fetch, freed on destruction. The device outlives it.
class PinnedBuffer {
 public:
  static StatusOr<std::unique_ptr<PinnedBuffer>> Allocate(Device& device, size_t bytes,
                                                          std::string_view name);
  ~PinnedBuffer() { device_.FreeHost(data_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  void* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  PinnedBuffer(Device& device, void* data, size_t size_bytes)
      : device_(device), data_(data), size_bytes_(size_bytes) {}

  Device& device_;
  void* data_;
  size_t size_bytes_;
};

class UploadRing;

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

  // Enqueues the copy; `rows` may be overwritten when it returns. Safe from several threads for
  // disjoint rows. INVALID_ARGUMENT naming the weight and the place where a float is larger than
  // the device's type can say.
  Status PackRows(UploadRing& ring, int64_t first_row, const TensorView& rows);

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

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
