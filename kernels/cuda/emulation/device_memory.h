// The global memory of an emulated device: allocations with unmapped gaps between them, and room
// for what the race detector remembers of each half word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/cuda/emulation/race_detector.h"

namespace phalanx::cuda::emulation {

class DeviceMemory {
 public:
  // Address space, not memory: pages cost something once they are touched.
  static constexpr size_t kCapacity = size_t{1} << 34;

  // `limit`: how many bytes may be allocated together, as on a device of that size.
  static StatusOr<std::unique_ptr<DeviceMemory>> Create(size_t limit);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  enum class Fill : uint8_t { kNaN, kZero };
  // Filled with NaNs of every width or with zeros, which cost no memory until they are overwritten;
  // aligned to a page. RESOURCE_EXHAUSTED naming `name` and the size.
  StatusOr<void*> Allocate(size_t bytes, std::string_view name, Fill fill = Fill::kNaN);
  void Free(void* p);
  // All launches so far count as long past.
  void ForgetAccesses();

  bool Owns(uintptr_t address) const { return address - base_ < kCapacity; }
  // Empty where [address, address + bytes) lies in one allocation, otherwise what is wrong with it.
  std::string Complaint(uintptr_t address, size_t bytes) const;
  bool Holds(uintptr_t address, size_t bytes) const {
    const Range& range = ranges_[page_range_[(address - base_) / kPage]];
    return address >= range.begin && address + bytes <= range.end;
  }
  // What is remembered of the half word at `address`, and of those behind it.
  AccessRecord* Records(uintptr_t address) const { return records_ + (address - base_) / 2; }

  size_t used() const { return used_; }
  size_t limit() const { return limit_; }

 private:
  std::byte* At(uintptr_t address) const { return memory_ + (address - base_); }

  static constexpr size_t kPage = 4096;
  struct Range {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    std::string name{};
  };

  DeviceMemory(size_t limit, void* base, void* records);
  // An allocation of nothing has a page, too: it can be freed by its address.
  static size_t PagesFor(size_t bytes) { return bytes == 0 ? 1 : (bytes + kPage - 1) / kPage; }

  size_t limit_;
  size_t used_ = 0;
  std::byte* memory_;
  uintptr_t base_;  // memory_'s address
  AccessRecord* records_;
  std::vector<Range> ranges_{1};      // 0: nothing
  std::vector<uint32_t> free_slots_;  // of ranges_
  std::vector<uint32_t> page_range_;  // [kCapacity / kPage] index into ranges_
  std::map<uintptr_t, size_t> free_;  // address to pages, none adjacent
};

}  // namespace phalanx::cuda::emulation
