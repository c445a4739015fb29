#include "kernels/cpu/scratch.h"

#include <utility>

#include "kernels/base/check.h"

namespace phalanx {

float* Scratch::Floats(size_t count) {
  if (memory_.size_bytes() < count * sizeof(float)) {
    memory_ = MappedMemory();
    StatusOr<MappedMemory> grown = MappedMemory::Allocate(count * sizeof(float), "scratch");
    PHALANX_CHECK(grown.ok());
    memory_ = std::move(grown).value();
  }
  return static_cast<float*>(memory_.data());
}

}  // namespace phalanx
