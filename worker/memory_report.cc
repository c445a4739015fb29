#include "worker/memory_report.h"

namespace phalanx {

void MemoryReport::Refresh(Clock::time_point now) {
  if (board_ == nullptr || now < next_) return;
  next_ = now + std::chrono::seconds(1);
  const std::optional<int64_t> free_bytes = backend_.FreeMemoryBytes();
  if (!free_bytes) return;
  int64_t reserved_bytes = 0;
  for (const MemoryUse& use : backend_.Memory()) {
    if (use.where == MemoryUse::Where::kDevice) reserved_bytes += use.bytes;
  }
  board_->mine().device_free_bytes.store(*free_bytes, std::memory_order_relaxed);
  board_->mine().device_reserved_bytes.store(reserved_bytes, std::memory_order_release);
}

}  // namespace phalanx
