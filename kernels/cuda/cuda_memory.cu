#include <algorithm>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/upload_ring.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

uint16_t Narrow(float value, DType element) {
  return element == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
}

bool IsFinite(uint16_t bits, DType element) {
  const uint16_t exponent = element == DType::kBF16 ? 0x7f80 : 0x7c00;
  return (bits & exponent) != exponent;
}

}  // namespace

StatusOr<std::unique_ptr<CudaBuffer>> CudaBuffer::Allocate(Device& device, size_t bytes,
                                                           std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(void* const data, device.Allocate(bytes, name));
  return std::unique_ptr<CudaBuffer>(new CudaBuffer(device, data, bytes));
}

StatusOr<std::unique_ptr<CudaBlock>> CudaBlock::Allocate(Device& device, const MemoryPlan& plan) {
  PHALANX_ASSIGN_OR_RETURN(std::vector<void*> parts, device.AllocateParts(plan));
  return std::unique_ptr<CudaBlock>(new CudaBlock(device, std::move(parts), plan.block_bytes()));
}

StatusOr<std::unique_ptr<PinnedBuffer>> PinnedBuffer::Allocate(Device& device, size_t bytes,
                                                               std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(void* const data, device.AllocateHost(bytes, name));
  return std::unique_ptr<PinnedBuffer>(new PinnedBuffer(device, data, bytes));
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
  constexpr auto kMaxCols = static_cast<int64_t>(UploadRing::kPlaceBytes / sizeof(uint16_t));
  if (spec.in_features > kMaxCols) {
    return InvalidArgumentError("weight {}: rows have {} elements, allowed: up to {}", spec.name,
                                spec.in_features, kMaxCols);
  }
  const int64_t rows = gate_up ? GateUpRows(spec.out_features / 2) : spec.out_features;
  const auto bytes = static_cast<size_t>(rows * RowStride(spec.in_features)) * sizeof(uint16_t);
  PHALANX_ASSIGN_OR_RETURN(auto buffer, CudaBuffer::Allocate(device, bytes, spec.name));
  return std::unique_ptr<CudaPackedWeight>(new CudaPackedWeight(spec, element, std::move(buffer)));
}

Status CudaPackedWeight::PackRows(UploadRing& ring, int64_t first_row, const TensorView& rows) {
  const int64_t stride = row_stride();
  const auto row_bytes = static_cast<size_t>(stride) * sizeof(uint16_t);
  const bool gate_up = spec().layout == WeightLayout::kGateUp;
  const auto physical = [&](int64_t row) {
    return gate_up ? GateUpRow(row, spec().out_features / 2) : row;
  };
  const auto fill = [&](int64_t row, uint16_t* out) -> Status {
    std::fill(out + rows.cols, out + stride, uint16_t{0});
    if (rows.dtype != DType::kF32) {
      std::copy_n(rows.row<const uint16_t>(row), rows.cols, out);
      return OkStatus();
    }
    const auto* const in = rows.row<const float>(row);
    std::transform(in, in + rows.cols, out, [&](float value) { return Narrow(value, element_); });
    const auto* const bad = std::find_if(out, out + rows.cols,
                                         [&](uint16_t bits) { return !IsFinite(bits, element_); });
    if (bad == out + rows.cols) return OkStatus();
    return InvalidArgumentError("weight {}: {} at [{}, {}], allowed: what {} can say", spec().name,
                                in[bad - out], first_row + row, bad - out, Name(element_));
  };
  for (int64_t begin = 0; begin < rows.rows;) {
    UploadRing::Lease lease(ring);
    while (begin < rows.rows && lease.room() >= row_bytes) {
      // Rows that follow each other on the device go there in one copy.
      const int64_t to = physical(first_row + begin);
      auto* const staged = static_cast<uint16_t*>(lease.next());
      int64_t count = 0;
      do {
        PHALANX_RETURN_IF_ERROR(fill(begin + count, staged + count * stride));
        ++count;
      } while (begin + count < rows.rows &&
               lease.room() >= static_cast<size_t>(count + 1) * row_bytes &&
               physical(first_row + begin + count) == to + count);
      lease.Send(static_cast<uint16_t*>(buffer_->data()) + to * stride,
                 static_cast<size_t>(count) * row_bytes);
      begin += count;
    }
  }
  return OkStatus();
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
  PHALANX_RETURN_IF_ERROR(CheckKvCache(spec.head_dim, spec.block_size, spec.dtype));
  const int64_t layer_bytes =
      KvBlockBytes(spec) / std::max<int64_t>(spec.num_layers, 1) * spec.num_blocks;
  PHALANX_ASSIGN_OR_RETURN(
      auto buffer,
      CudaBuffer::Allocate(device, static_cast<size_t>(layer_bytes * spec.num_layers), "KV cache"));
  return std::unique_ptr<CudaKvCache>(new CudaKvCache(spec, std::move(buffer), layer_bytes));
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
