#include "kernels/cuda/upload_ring.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

StatusOr<std::unique_ptr<UploadRing>> UploadRing::Create(Device& device) {
  std::unique_ptr<UploadRing> ring(new UploadRing(device));
  for (size_t i = 0; i < kNumPlaces; ++i) {
    Place& place = ring->places_.emplace_back();
    PHALANX_ASSIGN_OR_RETURN(place.memory,
                             PinnedBuffer::Allocate(device, kPlaceBytes, "weights to send"));
    PHALANX_ASSIGN_OR_RETURN(place.sent, device.CreateEvent());
    ring->free_.push_back(i);
  }
  return StatusOr<std::unique_ptr<UploadRing>>(std::move(ring));
}

size_t UploadRing::Take() {
  size_t place;
  {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [this] { return !free_.empty(); });
    place = free_.front();
    free_.pop_front();
  }
  places_[place].sent->Wait();
  return place;
}

void UploadRing::Return(size_t place) {
  places_[place].sent->Record(Queue::kCopy);
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(place);
  }
  returned_.notify_one();
}

void* UploadRing::Lease::next() const {
  return static_cast<std::byte*>(ring_.places_[place_].memory->data()) + used_;
}

void UploadRing::Lease::Send(void* to, size_t bytes) {
  PHALANX_CHECK_LE(bytes, room());
  ring_.device_.Send(Queue::kCopy, to, next(), bytes);
  used_ += bytes;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
