// Memory that all ranks of a group see: the heap for threads of one process, a shared mapping for
// processes of one host.
#pragma once

#include <cstddef>
#include <memory>

namespace phalanx {

class SharedRegion {
 public:
  virtual ~SharedRegion() = default;
  // Aligned to 128 bytes. The address may differ from rank to rank, so nothing in the region may be
  // a pointer.
  virtual std::byte* data() const = 0;
  virtual size_t size_bytes() const = 0;
};

// Zeroed.
std::shared_ptr<SharedRegion> MakeHeapRegion(size_t size_bytes);

}  // namespace phalanx
