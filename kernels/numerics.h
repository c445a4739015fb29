// How far a device's results may depend on what shares a batch.
#pragma once

#include <cstdint>

namespace phalanx {

enum class Numerics : uint8_t {
  kExact,  // not at all: a row has the same bits in any batch, chunking and cache state
  kFast,   // kernels are picked by the size of the batch: the same bits for the same batch
};

}  // namespace phalanx
