#include "kernels/cuda/emulated_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/emulation/device_memory.h"
#include "kernels/cuda/emulation/pending_copies.h"

namespace phalanx::cuda::emulated {
namespace {

using Clock = std::chrono::steady_clock;
using emulation::PendingCopies;

PendingCopies::Queue Of(Queue queue) {
  return queue == Queue::kCompute ? PendingCopies::Queue::kCompute : PendingCopies::Queue::kCopy;
}

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice(std::unique_ptr<emulation::DeviceMemory> memory, uint64_t seed,
                 size_t max_shared_bytes)
      : memory_(std::move(memory)),
        executor_(*memory_, seed, max_shared_bytes),
        stream_(executor_) {}

  std::string_view name() const override { return "cuda-emulated"; }
  std::string_view architecture() const override { return "emulated"; }
  // As small a device as there is: kernels that spread over multiprocessors run in few blocks.
  int num_multiprocessors() const override { return 4; }
  size_t max_shared_bytes() const override { return executor_.max_shared_bytes(); }

  int64_t FreeBytes() const override {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(memory_->limit() - memory_->used());
  }
  void CopyToDevice(void* to, const void* from, size_t bytes) override {
    const std::lock_guard lock(mutex_);
    EndCopies();
    CheckedCopy(to, from, bytes, to);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    const std::lock_guard lock(mutex_);
    EndCopies();
    CheckedCopy(to, from, bytes, from);
  }
  void Send(Queue queue, void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    const std::lock_guard lock(mutex_);
    CheckOnDevice(to, bytes);
    CheckPinned(from, bytes);
    copies_.Send(Of(queue), to, from, bytes);
  }
  void Fetch(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    const std::lock_guard lock(mutex_);
    CheckOnDevice(from, bytes);
    CheckPinned(to, bytes);
    copies_.Fetch(to, from, bytes);
  }
  StatusOr<std::unique_ptr<Event>> CreateEvent() override { return std::make_unique<Mark>(*this); }
  Status Finish() override {
    const std::lock_guard lock(mutex_);
    {
      const ComputeWait wait(*this);
      EndCopies();
      if (watch() != nullptr) stream_.Note(watch()->Check());
    }
    EndCollectives();
    return stream_.status();
  }
  void Note(Status status) override {
    const std::lock_guard lock(mutex_);
    stream_.Note(std::move(status));
  }
  Stream& stream() override { return stream_; }
  void* stream_handle() override { return nullptr; }

 private:
  // Kernels run when they are enqueued, so the time of a mark is that of its call.
  class Mark final : public Event {
   public:
    explicit Mark(EmulatedDevice& device) : device_(device) {}
    void Record(Queue queue) override {
      const std::lock_guard lock(device_.mutex_);
      queue_ = queue;
      mark_ = device_.copies_.Mark();
      time_ = Clock::now();
    }
    void Wait() override {
      const std::lock_guard lock(device_.mutex_);
      device_.Complain(device_.copies_.FinishUntil(Of(queue_), mark_));
    }
    double SecondsSince(const Event& begin) const override {
      return std::chrono::duration<double>(time_ - static_cast<const Mark&>(begin).time_).count();
    }

   private:
    EmulatedDevice& device_;
    Queue queue_ = Queue::kCompute;
    uint64_t mark_ = 0;
    Clock::time_point time_{};
  };

  StatusOr<void*> TakeDevice(size_t bytes, std::string_view name) override {
    const std::lock_guard lock(mutex_);
    return memory_->Allocate(bytes, name, emulation::DeviceMemory::Fill::kZero);
  }
  void ReturnDevice(void* p) override {
    const std::lock_guard lock(mutex_);
    EndCopies();
    memory_->Free(p);
  }
  StatusOr<void*> TakeHost(size_t bytes, std::string_view) override {
    const std::lock_guard lock(mutex_);
    auto memory = std::make_unique<std::byte[]>(std::max<size_t>(bytes, 1));
    void* const p = memory.get();
    pinned_.emplace(reinterpret_cast<uintptr_t>(p), Pinned{bytes, std::move(memory)});
    return p;
  }
  void ReturnHost(void* p) override {
    const std::lock_guard lock(mutex_);
    EndCopies();
    pinned_.erase(reinterpret_cast<uintptr_t>(p));
  }
  Parts parts() const override { return Parts::kApart; }

  void EndCopies() { Complain(copies_.FinishAll()); }
  void Complain(const std::string& complaint) {
    if (!complaint.empty()) stream_.Note(InternalError("{}", complaint));
  }
  void CheckOnDevice(const void* p, size_t bytes) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    PHALANX_CHECK(memory_->Owns(address) && memory_->Holds(address, bytes));
  }
  void CheckPinned(const void* p, size_t bytes) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    const auto next = pinned_.upper_bound(address);
    PHALANX_CHECK(next != pinned_.begin());
    const auto& [begin, pinned] = *std::prev(next);
    PHALANX_CHECK_LE(address - begin + bytes, pinned.bytes);
  }
  void CheckedCopy(void* to, const void* from, size_t bytes, const void* on_device) {
    if (bytes == 0) return;
    CheckOnDevice(on_device, bytes);
    std::memcpy(to, from, bytes);
  }

  struct Pinned {
    size_t bytes;
    std::unique_ptr<std::byte[]> memory;
  };

  mutable std::mutex mutex_;  // guards all that follows but the executor, which is one thread's
  std::unique_ptr<emulation::DeviceMemory> memory_;
  emulation::Executor executor_;
  Stream stream_;
  PendingCopies copies_;
  std::map<uintptr_t, Pinned> pinned_;
};

}  // namespace

StatusOr<std::unique_ptr<Device>> OpenEmulatedDevice(size_t memory_bytes, uint64_t seed,
                                                     size_t max_shared_bytes) {
  PHALANX_ASSIGN_OR_RETURN(auto memory, emulation::DeviceMemory::Create(memory_bytes));
  return std::make_unique<EmulatedDevice>(std::move(memory), seed, max_shared_bytes);
}

}  // namespace phalanx::cuda::emulated
