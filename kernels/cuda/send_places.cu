#include "kernels/cuda/send_places.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

StatusOr<std::unique_ptr<SendPlaces>> SendPlaces::Create(Device& device, size_t bytes,
                                                         std::string_view name) {
  std::unique_ptr<SendPlaces> places(new SendPlaces(device));
  for (Place& place : places->places_) {
    PHALANX_ASSIGN_OR_RETURN(place.memory, PinnedBuffer::Allocate(device, bytes, name));
    PHALANX_ASSIGN_OR_RETURN(place.sent, device.CreateEvent());
  }
  return StatusOr<std::unique_ptr<SendPlaces>>(std::move(places));
}

const PinnedBuffer& SendPlaces::Next() {
  places_[next_].sent->Wait();
  return *places_[next_].memory;
}

void SendPlaces::Send(void* to, size_t bytes) {
  Place& place = places_[next_];
  PHALANX_CHECK_LE(bytes, place.memory->size_bytes());
  device_.Send(Queue::kCompute, to, place.memory->data(), bytes);
  place.sent->Record(Queue::kCompute);
  next_ = 1 - next_;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
