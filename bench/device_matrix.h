// Matrices and arrays in a device's memory, for benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/testing/compare.h"
#include "tests/testing/inputs.h"

namespace phalanx {

// [rows, cols], normally distributed; few rows again and again, since making so many numbers would
// take longer than what is measured with them.
std::vector<float> RepeatedRows(int64_t rows, int64_t cols, testing::Generator& generator);

// Copies of a matrix, one behind the other.
class DeviceMatrix {
 public:
  struct Shape {
    int64_t rows = 0;
    int64_t cols = 0;
    DType dtype = DType::kF32;
    int64_t copies = 1;
  };
  // Every copy holds `values`, rounded to the type; NaNs where they are empty.
  static StatusOr<DeviceMatrix> Create(Backend& backend, const Shape& shape,
                                       std::span<const float> values = {});

  TensorView view(int64_t run) const;
  double bytes() const { return static_cast<double>(BytesOfCopy()); }
  Status Fill(std::span<const float> values);
  // The first copy, widened, once all that is enqueued is over.
  StatusOr<std::vector<float>> Download() const;

 private:
  DeviceMatrix(Backend& backend, const Shape& shape, std::unique_ptr<Buffer> buffer)
      : backend_(&backend), shape_(shape), buffer_(std::move(buffer)) {}
  int64_t BytesOfCopy() const;

  Backend* backend_;
  Shape shape_;
  std::unique_ptr<Buffer> buffer_;
};

template <typename T>
StatusOr<std::unique_ptr<Buffer>> ArrayOnDevice(Backend& backend, const std::vector<T>& values,
                                                std::string_view name) {
  const size_t bytes = values.size() * sizeof(T);
  PHALANX_ASSIGN_OR_RETURN(auto buffer, backend.Allocate(bytes, name));
  backend.CopyToDevice(buffer->data(), values.data(), bytes);
  return StatusOr<std::unique_ptr<Buffer>>(std::move(buffer));
}
template <typename T>
std::span<const T> SpanOf(const Buffer& buffer) {
  return {static_cast<const T*>(buffer.data()), buffer.size_bytes() / sizeof(T)};
}

}  // namespace phalanx
