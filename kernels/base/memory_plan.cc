#include "kernels/base/memory_plan.h"

#include <algorithm>

namespace phalanx {
namespace {

// No two parts have one address.
size_t Padded(size_t bytes) {
  return (std::max<size_t>(bytes, 1) + MemoryPlan::kAlignment - 1) / MemoryPlan::kAlignment *
         MemoryPlan::kAlignment;
}

}  // namespace

size_t MemoryPlan::block_bytes() const {
  size_t bytes = 0;
  for (const Part& part : parts_) bytes += Padded(part.bytes);
  return bytes;
}

void MemoryPlan::PlaceIn(void* block) const {
  auto* next = static_cast<std::byte*>(block);
  for (const Part& part : parts_) {
    *part.place = next;
    next += Padded(part.bytes);
  }
}

Status MemoryPlan::CheckFits(int64_t free_bytes) const {
  int64_t left = free_bytes;
  for (const Part& part : parts_) {
    const auto bytes = static_cast<int64_t>(part.bytes);
    if (bytes > left) {
      return ResourceExhaustedError(
          "{}: cannot allocate {} bytes, {} of {} are free behind what is planned before it ({} "
          "bytes in all)",
          part.name, bytes, std::max<int64_t>(left, 0), free_bytes, block_bytes());
    }
    left -= static_cast<int64_t>(Padded(part.bytes));
  }
  return OkStatus();
}

std::string NameOfAllLayers(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  const size_t at = name.find(kLayers);
  if (at == std::string_view::npos) return std::string(name);
  const size_t begin = at + kLayers.size();
  const size_t end = name.find('.', begin);
  if (end == std::string_view::npos) return std::string(name);
  return std::string(name.substr(0, begin)) + "*" + std::string(name.substr(end));
}

}  // namespace phalanx
