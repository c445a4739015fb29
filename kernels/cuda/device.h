// One device's memory and its queue of commands, on either machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/base/status.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view name() const = 0;  // "cuda", "cuda-emulated"
  // What its results may depend on: "emulated", or a compute capability.
  virtual std::string_view architecture() const = 0;
  virtual int num_multiprocessors() const = 0;

  virtual int64_t FreeBytes() const = 0;
  // Zeroed, aligned to 256 bytes. RESOURCE_EXHAUSTED naming `name` and the size. From any thread.
  virtual StatusOr<void*> Allocate(size_t bytes, std::string_view name) = 0;
  virtual void Free(void* p) = 0;
  // Behind what is enqueued; the host's memory may be used again, or read, when it returns.
  // CopyToDevice may be called from several threads at once.
  virtual void CopyToDevice(void* to, const void* from, size_t bytes) = 0;
  virtual void CopyToHost(void* to, const void* from, size_t bytes) = 0;
  // Waits for what is enqueued and returns the queue's status.
  virtual Status Finish() = 0;

  virtual Stream& stream() = 0;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
