#include "kernels/cuda/emulation/race_detector.h"

#include <algorithm>
#include <bit>

namespace phalanx::cuda::emulation {
namespace {

constexpr int kWarp = 32;

}  // namespace

void RaceDetector::BeginBlock(uint32_t block, uint32_t first_block, int num_threads) {
  block_ = block;
  first_block_ = first_block;
  const auto n = static_cast<size_t>(num_threads);
  if (nothing_ == nullptr || nothing_->times.size() != n) {
    nothing_ = std::make_shared<const Known>(
        Known{std::vector<uint32_t>(n), std::vector<uint32_t>(n / kWarp)});
  }
  threads_.assign(n, Thread{.known = nothing_});
}

void RaceDetector::Join(std::span<const uint16_t> threads) {
  auto known = std::make_shared<Known>(*threads_[threads.front()].known);
  const Known* merged = threads_[threads.front()].known.get();
  uint32_t latest = 0;
  for (const uint16_t t : threads) {
    const Thread& thread = threads_[t];
    latest = std::max(latest, thread.time);
    if (thread.known.get() == merged) continue;
    merged = thread.known.get();
    for (size_t i = 0; i < known->times.size(); ++i) {
      known->times[i] = std::max(known->times[i], merged->times[i]);
    }
  }
  // Those who meet go on at one time, so none of them did anything between its own time and that.
  for (const uint16_t t : threads) known->times[t] = latest;
  for (size_t warp = 0; warp < known->warp_least.size(); ++warp) {
    const auto first = known->times.begin() + static_cast<ptrdiff_t>(warp * kWarp);
    known->warp_least[warp] = *std::min_element(first, first + kWarp);
  }
  for (const uint16_t t : threads) threads_[t] = {known, latest + 1};
}

std::optional<RaceDetector::Race> RaceDetector::AgainstWrite(const AccessRecord& record,
                                                             int thread) const {
  if (record.write_block == block_) {
    const int writer = record.write_thread & ~kAtomic;
    if (Before(writer, record.write_time, thread)) return std::nullopt;
    return Race{.thread = writer, .with_write = true};
  }
  if (InOtherBlock(record.write_block)) return Race{.thread = kElsewhere, .with_write = true};
  return std::nullopt;
}

std::optional<RaceDetector::Race> RaceDetector::AgainstReads(const AccessRecord& record,
                                                             int thread) const {
  if (InOtherBlock(record.read_block) ||
      (record.read_block == block_ && record.read_thread == kSeveralBlocks)) {
    return Race{.thread = kElsewhere};
  }
  if (record.read_block != block_) return std::nullopt;
  if (record.read_warps == 0) {
    if (Before(record.read_thread, record.read_time, thread)) return std::nullopt;
    return Race{.thread = record.read_thread};
  }
  const Known& known = *threads_[static_cast<size_t>(thread)].known;
  for (uint32_t left = record.read_warps; left != 0; left &= left - 1) {
    const int warp = std::countr_zero(left);
    if (known.warp_least[static_cast<size_t>(warp)] >= record.read_time) continue;
    for (int other = warp * kWarp; other < (warp + 1) * kWarp; ++other) {
      if (!Before(other, record.read_time, thread)) return Race{.thread = other};
    }
  }
  return std::nullopt;
}

std::optional<RaceDetector::Race> RaceDetector::OnRead(AccessRecord& record, int thread) {
  const std::optional<Race> race = AgainstWrite(record, thread);
  const uint32_t time = threads_[static_cast<size_t>(thread)].time;
  const uint32_t warp = 1u << (thread / kWarp);
  if (record.read_block != block_) {
    record.read_thread =
        InOtherBlock(record.read_block) ? kSeveralBlocks : static_cast<uint16_t>(thread);
    record.read_block = block_;
    record.read_time = time;
    record.read_warps = 0;
  } else if (record.read_thread == kSeveralBlocks) {
    // A write of any thread races with that already.
  } else if (record.read_warps != 0) {
    record.read_warps |= warp;
    record.read_time = std::max(record.read_time, time);
  } else if (Before(record.read_thread, record.read_time, thread)) {
    record.read_thread = static_cast<uint16_t>(thread);
    record.read_time = time;
  } else {
    record.read_warps = warp | 1u << (record.read_thread / kWarp);
    record.read_time = std::max(record.read_time, time);
  }
  return race;
}

std::optional<RaceDetector::Race> RaceDetector::OnWrite(AccessRecord& record, int thread) {
  std::optional<Race> race = AgainstWrite(record, thread);
  if (!race) race = AgainstReads(record, thread);
  record = {.write_block = block_,
            .write_time = threads_[static_cast<size_t>(thread)].time,
            .write_thread = static_cast<uint16_t>(thread)};
  return race;
}

std::optional<RaceDetector::Race> RaceDetector::OnAtomic(AccessRecord& record, int thread) {
  std::optional<Race> race;
  if ((record.write_thread & kAtomic) == 0) race = AgainstWrite(record, thread);
  if (!race) race = AgainstReads(record, thread);
  record = {.write_block = block_,
            .write_time = threads_[static_cast<size_t>(thread)].time,
            .write_thread = static_cast<uint16_t>(thread | kAtomic)};
  return race;
}

}  // namespace phalanx::cuda::emulation
