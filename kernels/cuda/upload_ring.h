// Pinned places of the host's memory through which weights go to the device: some are filled while
// others are still being copied, in the queue for copies.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Safe from several threads; one that finds no place waits for another's to come back.
class UploadRing {
 public:
  // As much as a loading thread reads at a time; threads fill some while others are on their way.
  static constexpr size_t kPlaceBytes = size_t{4} << 20;
  static constexpr int kNumPlaces = 6;

  // RESOURCE_EXHAUSTED without memory.
  static StatusOr<std::unique_ptr<UploadRing>> Create(Device& device);

  // A place that one thread fills piece by piece. It goes back when the lease ends, its copies
  // enqueued.
  class Lease {
   public:
    explicit Lease(UploadRing& ring) : ring_(ring), place_(ring.Take()) {}
    ~Lease() { ring_.Return(place_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    size_t room() const { return kPlaceBytes - used_; }
    // Where the next bytes go, at most room().
    void* next() const;
    // Enqueues the copy of the next `bytes`, which have been written.
    void Send(void* to, size_t bytes);

   private:
    UploadRing& ring_;
    size_t place_;
    size_t used_ = 0;
  };

 private:
  struct Place {
    std::unique_ptr<PinnedBuffer> memory;
    std::unique_ptr<Event> sent;
  };

  explicit UploadRing(Device& device) : device_(device) {}
  // The one that was returned first, once its copies are over.
  size_t Take();
  void Return(size_t place);

  Device& device_;
  std::vector<Place> places_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::deque<size_t> free_;  // guarded by mutex_
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
