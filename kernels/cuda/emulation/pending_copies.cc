#include "kernels/cuda/emulation/pending_copies.h"

#include <fmt/format.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string_view>

namespace phalanx::cuda::emulation {
namespace {

constexpr int kNaNByte = 0xff;  // NaNs of every width

size_t Hash(const std::byte* p, size_t bytes) {
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(p), bytes});
}

}  // namespace

void PendingCopies::Send(Queue queue, void* to, const void* from, size_t bytes) {
  Copy copy{.number = next_++,
            .queue = queue,
            .to = static_cast<std::byte*>(to),
            .from = static_cast<const std::byte*>(from),
            .bytes = bytes,
            .kind = queue == Queue::kCompute ? Copy::Kind::kArrived : Copy::Kind::kToArrive,
            .hash = Hash(static_cast<const std::byte*>(from), bytes)};
  if (copy.kind == Copy::Kind::kArrived) {
    std::memcpy(copy.to, copy.from, bytes);
  } else {
    std::memset(copy.to, kNaNByte, bytes);
  }
  copies_.push_back(std::move(copy));
}

void PendingCopies::Fetch(void* to, const void* from, size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(from);
  copies_.push_back({.number = next_++,
                     .queue = Queue::kCompute,
                     .to = static_cast<std::byte*>(to),
                     .from = begin,
                     .bytes = bytes,
                     .kind = Copy::Kind::kToHost,
                     .hash = 0,
                     .fetched = {begin, begin + bytes}});
  std::memset(to, kNaNByte, bytes);
}

std::string PendingCopies::Finish(const Copy& copy) {
  if (copy.kind == Copy::Kind::kToHost) {
    std::memcpy(copy.to, copy.fetched.data(), copy.bytes);
    return "";
  }
  if (copy.kind == Copy::Kind::kToArrive) std::memcpy(copy.to, copy.from, copy.bytes);
  if (Hash(copy.from, copy.bytes) == copy.hash) return "";
  return fmt::format(
      "a copy of {} bytes to the device: the host changed them before anything had waited for it",
      copy.bytes);
}

std::string PendingCopies::FinishUntil(Queue queue, uint64_t mark) {
  std::string complaint;
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    if (copy->queue != queue || copy->number >= mark) {
      ++copy;
      continue;
    }
    const std::string found = Finish(*copy);
    if (complaint.empty()) complaint = found;
    copy = copies_.erase(copy);
  }
  return complaint;
}

std::string PendingCopies::FinishAll() {
  constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();
  const std::string complaint = FinishUntil(Queue::kCompute, kAll);
  const std::string other = FinishUntil(Queue::kCopy, kAll);
  return complaint.empty() ? other : complaint;
}

}  // namespace phalanx::cuda::emulation
