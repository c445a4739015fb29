// One device's memory and its queues of commands, on either machine.
//
// Commands of one queue run in order. Copies that do not wait take memory of AllocateHost, and the
// host leaves that memory alone until an event behind them, or Finish, has been waited for; the
// emulated device holds callers to it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/base/memory_plan.h"
#include "kernels/base/status.h"
#include "kernels/cuda/memory_ledger.h"
#include "kernels/cuda/stream.h"
#include "kernels/device_queue.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Kernels run on kCompute; kCopy is for what need not wait for them.
enum class Queue : uint8_t { kCompute, kCopy };

// A mark between the commands of a queue. The device outlives it.
class Event {
 public:
  virtual ~Event() = default;
  // Behind what is in the queue by now; moves the mark.
  virtual void Record(Queue queue) = 0;
  // Returns when the device has come there; at once where it was never recorded.
  virtual void Wait() = 0;
  // Of the device's time, from `begin` to this one. Both have been waited for.
  virtual double SecondsSince(const Event& begin) const = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view name() const = 0;  // "cuda", "cuda-emulated"
  // What its results may depend on: "emulated", or a compute capability.
  virtual std::string_view architecture() const = 0;
  virtual int num_multiprocessors() const = 0;
  // Of shared memory that a block may take.
  virtual size_t max_shared_bytes() const = 0;

  virtual int64_t FreeBytes() const = 0;
  // Zeroed, aligned to 256 bytes. RESOURCE_EXHAUSTED naming `name`, the size and what is free. From
  // any thread, as all that allocates and frees.
  StatusOr<void*> Allocate(size_t bytes, std::string_view name);
  void Free(void* p);
  // Memory of the host that copies need not wait for.
  StatusOr<void*> AllocateHost(size_t bytes, std::string_view name);
  void FreeHost(void* p);
  // A plan's parts, each as Allocate gives it, in their order.
  StatusOr<std::vector<void*>> AllocateParts(const MemoryPlan& plan);
  void FreeParts(const std::vector<void*>& parts);
  // What is allocated now, and how often anything was.
  std::vector<MemoryUse> Memory() const { return ledger_.uses(); }
  int64_t num_allocations() const { return ledger_.num_allocations(); }

  // Copies that are over when they return, behind what is in the compute queue. CopyToDevice may be
  // called from several threads at once.
  virtual void CopyToDevice(void* to, const void* from, size_t bytes) = 0;
  virtual void CopyToHost(void* to, const void* from, size_t bytes) = 0;
  // Copies that are enqueued. Send may be called from several threads at once.
  virtual void Send(Queue queue, void* to, const void* from, size_t bytes) = 0;
  virtual void Fetch(void* to, const void* from, size_t bytes) = 0;  // in the compute queue
  virtual StatusOr<std::unique_ptr<Event>> CreateEvent() = 0;
  // Waits for what is in both queues and returns the first error.
  virtual Status Finish() = 0;
  // An error of the host's side, from any thread: Finish returns it, unless there was one before.
  virtual void Note(Status status) = 0;

  virtual Stream& stream() = 0;  // kCompute's
  // kernels/device_queue.h
  virtual void* stream_handle() = 0;
  void SetWatch(QueueWatch* watch) { watch_ = watch; }
  // A collective is in the compute queue until all of that has been waited for.
  void NoteCollective() { has_collective_ = true; }

 protected:
  QueueWatch* watch() const { return watch_; }
  // A wait of the host for the compute queue, which tells the watch where a collective is in it.
  class ComputeWait {
   public:
    explicit ComputeWait(const Device& device)
        : watch_(device.has_collective_ ? device.watch_ : nullptr) {
      if (watch_ != nullptr) watch_->BeginWait();
    }
    ~ComputeWait() {
      if (watch_ != nullptr) watch_->EndWait();
    }
    ComputeWait(const ComputeWait&) = delete;
    ComputeWait& operator=(const ComputeWait&) = delete;

   private:
    QueueWatch* const watch_;
  };
  // Nothing is left in the compute queue.
  void EndCollectives() { has_collective_ = false; }

  // Whether parts of a plan share one allocation; a device that checks bounds keeps them apart.
  enum class Parts : uint8_t { kTogether, kApart };
  virtual Parts parts() const = 0;
  virtual StatusOr<void*> TakeDevice(size_t bytes, std::string_view name) = 0;
  virtual void ReturnDevice(void* p) = 0;
  virtual StatusOr<void*> TakeHost(size_t bytes, std::string_view name) = 0;
  virtual void ReturnHost(void* p) = 0;

 private:
  MemoryLedger ledger_;
  QueueWatch* watch_ = nullptr;
  std::atomic<bool> has_collective_ = false;  // copies wait in threads of their own
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
