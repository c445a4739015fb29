// Pinned places of the host's memory from which a step's small arrays go to the device in copies
// that nobody waits for. They are used in turns, so that the next arrays can be written while the
// last ones are still being sent; a place is written again only once its own copy is over.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

class SendPlaces {
 public:
  // RESOURCE_EXHAUSTED naming `name` without memory.
  static StatusOr<std::unique_ptr<SendPlaces>> Create(Device& device, size_t bytes,
                                                      std::string_view name);

  size_t size_bytes() const { return places_.front().memory->size_bytes(); }
  // Where to write what Send is to send.
  const PinnedBuffer& Next();
  // Enqueues the copy of the place's first `bytes`, behind the kernels that read what `to` holds.
  void Send(void* to, size_t bytes);

 private:
  struct Place {
    std::unique_ptr<PinnedBuffer> memory;
    std::unique_ptr<Event> sent;
  };

  explicit SendPlaces(Device& device) : device_(device) {}

  Device& device_;
  std::array<Place, 2> places_;
  size_t next_ = 0;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
