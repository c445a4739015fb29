// A small emulated device for tests: memory that is filled and read from the host.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/device_memory.h"
#include "kernels/cuda/emulation/executor.h"
#include "kernels/cuda/stream.h"

namespace phalanx::testing {

class EmulatedDevice {
 public:
  explicit EmulatedDevice(uint64_t seed = 1,
                          size_t max_shared_bytes = cuda::emulation::Executor::kMaxSharedBytes)
      : memory_(std::move(cuda::emulation::DeviceMemory::Create(size_t{1} << 30)).value()),
        executor_(*memory_, seed, max_shared_bytes) {}

  // Holds NaNs.
  template <typename T>
  T* Allocate(size_t count, std::string_view name = "buffer") {
    return static_cast<T*>(std::move(memory_->Allocate(count * sizeof(T), name)).value());
  }
  template <typename T>
  T* Upload(const std::vector<T>& values, std::string_view name = "buffer") {
    T* const p = Allocate<T>(values.size(), name);
    std::memcpy(p, values.data(), values.size() * sizeof(T));
    return p;
  }
  template <typename T>
  static std::vector<T> Download(const T* p, size_t count) {
    return {p, p + count};
  }

  cuda::emulation::DeviceMemory& memory() { return *memory_; }
  size_t max_shared_bytes() const { return executor_.max_shared_bytes(); }
  // A new queue without an error.
  cuda::emulated::Stream Stream() { return cuda::emulated::Stream(executor_); }

 private:
  std::unique_ptr<cuda::emulation::DeviceMemory> memory_;
  cuda::emulation::Executor executor_;
};

}  // namespace phalanx::testing
