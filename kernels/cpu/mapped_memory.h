// Zeroed memory straight from the kernel.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// An anonymous mapping. Pages come into being when first written, so what is never used costs
// nothing. From 2 MiB on it is aligned to 2 MiB and asks for huge pages: streaming weights through
// 4 KiB pages loses several per cent of the read bandwidth to TLB misses.
class MappedMemory {
 public:
  MappedMemory() = default;
  ~MappedMemory();
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;

  // RESOURCE_EXHAUSTED naming `name` and the size. 0 bytes give a null pointer.
  static StatusOr<MappedMemory> Allocate(size_t bytes, std::string_view name);

  void* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }  // rounded up to whole pages

 private:
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace phalanx
