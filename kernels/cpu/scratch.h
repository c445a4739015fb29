// Memory of a kernel's caller that only grows.
#pragma once

#include <cstddef>

#include "kernels/cpu/mapped_memory.h"

namespace phalanx {

class Scratch {
 public:
  // At least `count` floats, 64-byte aligned, contents undefined.
  float* Floats(size_t count);

 private:
  MappedMemory memory_;
};

}  // namespace phalanx
