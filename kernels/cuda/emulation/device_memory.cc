#include "kernels/cuda/emulation/device_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "kernels/base/check.h"

namespace phalanx::cuda::emulation {
namespace {

void* Reserve(size_t bytes) {
  void* const p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

constexpr size_t kRecordBytes = DeviceMemory::kCapacity / 2 * sizeof(AccessRecord);

}  // namespace

StatusOr<std::unique_ptr<DeviceMemory>> DeviceMemory::Create(size_t limit) {
  void* const base = Reserve(kCapacity);
  void* const records = Reserve(kRecordBytes);
  if (base == nullptr || records == nullptr) {
    if (base != nullptr) munmap(base, kCapacity);
    return ResourceExhaustedError(
        "an emulated device needs {} GiB of address space; a limit (ulimit -v) forbids that",
        (kCapacity + kRecordBytes) >> 30);
  }
  return std::unique_ptr<DeviceMemory>(new DeviceMemory(limit, base, records));
}

DeviceMemory::DeviceMemory(size_t limit, void* base, void* records)
    : limit_(limit),
      memory_(static_cast<std::byte*>(base)),
      base_(reinterpret_cast<uintptr_t>(base)),
      records_(static_cast<AccessRecord*>(records)),
      page_range_(kCapacity / kPage) {
  free_.emplace(base_, kCapacity / kPage);
}

DeviceMemory::~DeviceMemory() {
  munmap(memory_, kCapacity);
  munmap(records_, kRecordBytes);
}

StatusOr<void*> DeviceMemory::Allocate(size_t bytes, std::string_view name, Fill fill) {
  if (bytes > limit_ - used_) {
    return ResourceExhaustedError("{}: cannot allocate {} bytes, {} of {} are free", name, bytes,
                                  limit_ - used_, limit_);
  }
  // A page that belongs to nobody follows each allocation.
  const size_t pages = PagesFor(bytes) + 1;
  auto place = free_.begin();
  while (place != free_.end() && place->second < pages) ++place;
  if (place == free_.end()) {
    return ResourceExhaustedError("{}: no room for {} bytes in a row", name, bytes);
  }
  const uintptr_t address = place->first;
  const size_t left = place->second - pages;
  free_.erase(place);
  if (left > 0) free_.emplace(address + pages * kPage, left);
  uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(ranges_.size());
    ranges_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  ranges_[index] = {address, address + bytes, std::string(name)};
  for (size_t i = 0; i + 1 < pages; ++i) page_range_[(address - base_) / kPage + i] = index;
  used_ += bytes;
  // Pages that nobody has, or that were given back, are zero.
  if (fill == Fill::kNaN) std::memset(At(address), 0xff, bytes);
  return static_cast<void*>(At(address));
}

void DeviceMemory::Free(void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  PHALANX_CHECK(Owns(address));
  const uint32_t index = page_range_[(address - base_) / kPage];
  Range& range = ranges_[index];
  PHALANX_CHECK_EQ(range.begin, address);
  const size_t used_pages = PagesFor(range.end - range.begin);
  for (size_t i = 0; i < used_pages; ++i) page_range_[(address - base_) / kPage + i] = 0;
  used_ -= range.end - range.begin;
  size_t pages = used_pages + 1;
  // Pages and what was remembered of them go back to the system.
  madvise(p, used_pages * kPage, MADV_DONTNEED);
  static_assert(kPage / 2 * sizeof(AccessRecord) % kPage == 0);
  madvise(Records(address), used_pages * (kPage / 2 * sizeof(AccessRecord)), MADV_DONTNEED);
  range = {};
  free_slots_.push_back(index);
  auto next = free_.lower_bound(address);
  if (next != free_.end() && next->first == address + pages * kPage) {
    pages += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second * kPage == address) {
      before->second += pages;
      return;
    }
  }
  free_.emplace(address, pages);
}

void DeviceMemory::ForgetAccesses() { madvise(records_, kRecordBytes, MADV_DONTNEED); }

std::string DeviceMemory::Complaint(uintptr_t address, size_t bytes) const {
  if (Holds(address, bytes)) return "";
  // The allocation that it starts in, or the last one before it.
  const Range* nearest = nullptr;
  for (const Range& range : ranges_) {
    if (range.end > range.begin && range.begin <= address &&
        (nearest == nullptr || range.begin > nearest->begin)) {
      nearest = &range;
    }
  }
  if (nearest == nullptr) return "which belongs to no allocation";
  return fmt::format("which is {} bytes behind the start of \"{}\", an allocation of {}",
                     address - nearest->begin, nearest->name, nearest->end - nearest->begin);
}

}  // namespace phalanx::cuda::emulation
