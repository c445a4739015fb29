#include "parallel/liveness.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "kernels/base/check.h"

namespace phalanx {

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::atomic<Pace>::is_always_lock_free);

struct alignas(2 * kCacheLineBytes) LivenessBoard::Header {
  std::atomic<uint32_t> stop_requested;
  std::atomic<uint32_t> is_ended;
};

std::string_view Name(Activity activity) {
  switch (activity) {
    case Activity::kStarting:
      return "starting";
    case Activity::kWaitingForPlan:
      return "waiting for a plan";
    case Activity::kServing:
      return "serving";
    case Activity::kForwardPass:
      return "forward pass";
    case Activity::kSampling:
      return "sampling";
    case Activity::kLeaving:
      return "leaving";
    case Activity::kLeft:
      return "left";
    case Activity::kFailed:
      return "failed";
  }
  return "unknown";
}

LivenessBoard::LivenessBoard(std::shared_ptr<SharedRegion> region, int index, int size, int rank,
                             int group_size)
    : region_(std::move(region)), index_(index), size_(size), group_size_(group_size) {
  PHALANX_CHECK_GE(index_, 0);
  PHALANX_CHECK_LT(index_, size_);
  PHALANX_CHECK_GE(region_->size_bytes(), SizeBytes(size_));
  mine().rank.store(rank, std::memory_order_relaxed);
  mine().pid.store(getpid(), std::memory_order_release);
}

size_t LivenessBoard::SizeBytes(int size) {
  return sizeof(Header) + static_cast<size_t>(size) * sizeof(LivenessRecord);
}

LivenessBoard::Header& LivenessBoard::header() const {
  return *reinterpret_cast<Header*>(region_->data());
}

LivenessRecord& LivenessBoard::record(int index) const {
  return reinterpret_cast<LivenessRecord*>(region_->data() + sizeof(Header))[index];
}

void LivenessBoard::Publish(Activity activity, uint64_t step,
                            std::chrono::milliseconds allowed) const {
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  LivenessRecord& record = mine();
  record.activity.store(static_cast<uint32_t>(activity), std::memory_order_relaxed);
  record.step.store(step, std::memory_order_relaxed);
  const uint32_t progress = record.pace.load(std::memory_order_relaxed).progress + 1;
  const auto allowed_ms = static_cast<uint32_t>(std::min<int64_t>(allowed.count(), kMost));
  record.pace.store({progress, allowed_ms}, std::memory_order_release);
}

void LivenessBoard::RequestStop() const {
  header().stop_requested.store(1, std::memory_order_relaxed);
}

bool LivenessBoard::stop_requested() const {
  return header().stop_requested.load(std::memory_order_relaxed) != 0;
}

void LivenessBoard::MarkEnded() const { header().is_ended.store(1, std::memory_order_release); }

bool LivenessBoard::is_ended() const {
  return header().is_ended.load(std::memory_order_acquire) != 0;
}

std::shared_ptr<LivenessBoard> MakeLonelyLivenessBoard() {
  return std::make_shared<LivenessBoard>(MakeHeapRegion(LivenessBoard::SizeBytes(1)), 0, 1, 0, 1);
}

}  // namespace phalanx
