#include "kernels/cuda/emulated_device.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "kernels/cuda/emulation/device_memory.h"

namespace phalanx::cuda::emulated {
namespace {

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice(std::unique_ptr<emulation::DeviceMemory> memory, uint64_t seed)
      : memory_(std::move(memory)), executor_(*memory_, seed), stream_(executor_) {}

  std::string_view name() const override { return "cuda-emulated"; }
  std::string_view architecture() const override { return "emulated"; }
  // As small a device as there is: kernels that spread over multiprocessors run in few blocks.
  int num_multiprocessors() const override { return 4; }

  int64_t FreeBytes() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(memory_->limit() - memory_->used());
  }
  StatusOr<void*> Allocate(size_t bytes, std::string_view name) override {
    const std::lock_guard lock(mutex_);
    return memory_->Allocate(bytes, name, emulation::DeviceMemory::Fill::kZero);
  }
  void Free(void* p) override {
    const std::lock_guard lock(mutex_);
    memory_->Free(p);
  }
  void CopyToDevice(void* to, const void* from, size_t bytes) override {
    CheckedCopy(to, from, bytes, to);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    CheckedCopy(to, from, bytes, from);
  }
  Status Finish() override { return stream_.status(); }
  Stream& stream() override { return stream_; }

 private:
  void CheckedCopy(void* to, const void* from, size_t bytes, const void* on_device) {
    if (bytes == 0) return;
    {
      const std::lock_guard lock(mutex_);
      const auto address = reinterpret_cast<uintptr_t>(on_device);
      PHALANX_CHECK(memory_->Owns(address) && memory_->Holds(address, bytes));
    }
    std::memcpy(to, from, bytes);
  }

  mutable std::mutex mutex_;
  std::unique_ptr<emulation::DeviceMemory> memory_;
  emulation::Executor executor_;
  Stream stream_;
};

}  // namespace

StatusOr<std::unique_ptr<Device>> OpenEmulatedDevice(size_t memory_bytes, uint64_t seed) {
  PHALANX_ASSIGN_OR_RETURN(auto memory, emulation::DeviceMemory::Create(memory_bytes));
  return std::make_unique<EmulatedDevice>(std::move(memory), seed);
}

}  // namespace phalanx::cuda::emulated
