#include "bench/device_matrix.h"

#include <algorithm>

#include "bench/device_case.h"
#include "tests/testing/narrow.h"

namespace phalanx {
namespace {

constexpr int64_t kMostCopies = 1024;
constexpr int64_t kAlignment = 256;  // of every copy

}  // namespace

int64_t DeviceBench::ColdCopies(double bytes) const {
  return std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(rotation_bytes) / bytes) + 1,
                             1, kMostCopies);
}

int64_t DeviceBench::ActivationCopies(double bytes) const {
  return bytes <= static_cast<double>(cached_bytes) ? 1 : ColdCopies(bytes);
}

std::vector<float> RepeatedRows(int64_t rows, int64_t cols, testing::Generator& generator) {
  constexpr int64_t kMostRows = 61;
  constexpr int64_t kMostValues = 1 << 20;
  const int64_t distinct = std::min(rows, std::clamp<int64_t>(kMostValues / cols, 3, kMostRows));
  std::vector<float> values = testing::RandomFloats(distinct * cols, generator);
  values.resize(static_cast<size_t>(rows * cols));
  for (int64_t row = distinct; row < rows; ++row) {
    std::copy_n(values.begin() + row % distinct * cols, cols, values.begin() + row * cols);
  }
  return values;
}

StatusOr<DeviceMatrix> DeviceMatrix::Create(Backend& backend, const Shape& shape,
                                            std::span<const float> values) {
  DeviceMatrix matrix(backend, shape, nullptr);
  PHALANX_ASSIGN_OR_RETURN(
      matrix.buffer_,
      backend.Allocate(static_cast<size_t>(shape.copies * matrix.BytesOfCopy()), "matrix"));
  const std::vector<float> nothing = testing::NaNs(values.empty() ? shape.rows * shape.cols : 0);
  PHALANX_RETURN_IF_ERROR(matrix.Fill(values.empty() ? nothing : values));
  return matrix;
}

int64_t DeviceMatrix::BytesOfCopy() const {
  const int64_t bytes = shape_.rows * shape_.cols * static_cast<int64_t>(SizeInBytes(shape_.dtype));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

TensorView DeviceMatrix::view(int64_t run) const {
  auto* const begin = static_cast<std::byte*>(buffer_->data());
  return MakeTensor(begin + run % shape_.copies * BytesOfCopy(), shape_.dtype, shape_.rows,
                    shape_.cols);
}

Status DeviceMatrix::Fill(std::span<const float> values) {
  PHALANX_CHECK_EQ(static_cast<int64_t>(values.size()), shape_.rows * shape_.cols);
  const auto copy = [&](const auto& stored) {
    for (int64_t c = 0; c < shape_.copies; ++c) {
      backend_->CopyToDevice(view(c).data, stored.data(), stored.size() * sizeof(stored[0]));
    }
  };
  if (shape_.dtype == DType::kF32) {
    copy(values);
  } else {
    copy(testing::Narrow(std::vector<float>(values.begin(), values.end()), shape_.dtype));
  }
  return backend_->Finish();
}

StatusOr<std::vector<float>> DeviceMatrix::Download() const {
  const auto count = static_cast<size_t>(shape_.rows * shape_.cols);
  if (shape_.dtype == DType::kF32) {
    std::vector<float> values(count);
    backend_->CopyToHost(values.data(), buffer_->data(), count * sizeof(float));
    PHALANX_RETURN_IF_ERROR(backend_->Finish());
    return values;
  }
  std::vector<uint16_t> stored(count);
  backend_->CopyToHost(stored.data(), buffer_->data(), count * sizeof(uint16_t));
  PHALANX_RETURN_IF_ERROR(backend_->Finish());
  return testing::Widen(stored.data(), count, shape_.dtype);
}

}  // namespace phalanx
