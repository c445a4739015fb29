// The device that a test program computes on, and what tests do with any of them: a GPU, or the
// emulated one, on which sizes are small because it is thousands of times slower.
//
//   device_kernels_test --device=cuda|cuda-emulated --data=FOLDER [flags of GoogleTest]
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend_factory.h"

namespace phalanx::testing {

struct DeviceUnderTest {
  std::string name = "cuda-emulated";
  std::filesystem::path data =
      PHALANX_SOURCE_DIR;  // holds launch/ and tests/ as the repository does

  bool is_emulated() const { return name == "cuda-emulated"; }
};

// As the command line has it.
const DeviceUnderTest& Device();

// Parses the flags above and runs all tests. 2 where a flag is wrong or the device cannot be used,
// which is said on stderr.
int RunDeviceTests(int argc, char** argv);

// The backend under test; aborts where there is none.
std::unique_ptr<Backend> MakeDevice(DType dtype = DType::kBF16,
                                    Numerics numerics = Numerics::kExact);
// Prepared for steps, too.
std::unique_ptr<Backend> MakeDevice(DType dtype, Numerics numerics, const StepLimits& limits);

// A matrix in the device's memory.
class DeviceMatrix {
 public:
  // Rows are `gap` elements further apart than they are long; NaNs lie between them.
  DeviceMatrix(Backend& backend, const std::vector<float>& values, int64_t rows, DType dtype,
               int64_t gap = 0);
  // Holds NaNs.
  DeviceMatrix(Backend& backend, int64_t rows, int64_t cols, DType dtype);

  const TensorView& view() const { return view_; }
  template <typename T>
  const T* data() const {
    return static_cast<const T*>(buffer_->data());
  }
  // Waits for what is enqueued, and fails the test where the device did.
  std::vector<float> Download() const;

 private:
  void Fill(const std::vector<float>& values);

  Backend& backend_;
  std::unique_ptr<Buffer> buffer_;
  TensorView view_;
};

// An array in the device's memory.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(Backend& backend, const std::vector<T>& values) : size_(values.size()) {
    buffer_ = std::move(backend.Allocate(size_ * sizeof(T), "array")).value();
    backend.CopyToDevice(buffer_->data(), values.data(), size_ * sizeof(T));
  }
  std::span<const T> span() const { return {static_cast<const T*>(buffer_->data()), size_}; }

 private:
  size_t size_;
  std::unique_ptr<Buffer> buffer_;
};

// Name for messages and parameters.
std::string NameOf(Numerics numerics);

}  // namespace phalanx::testing
