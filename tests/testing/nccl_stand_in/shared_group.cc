#include "tests/testing/nccl_stand_in/shared_group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace phalanx::testing {
namespace {

constexpr size_t kAlignment = 128;

constexpr size_t Aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

// The memory: a count of ranks, a board for each, a slot for each. It starts as zeros.
size_t SharedGroup::SizeBytes(int size) {
  const auto ranks = static_cast<size_t>(size);
  return kAlignment + ranks * (Aligned(sizeof(Board)) + kSlotFloats * sizeof(float));
}

std::atomic<uint32_t>& SharedGroup::num_joined() const {
  return *reinterpret_cast<std::atomic<uint32_t>*>(memory_);
}

SharedGroup::Board& SharedGroup::board(int rank) const {
  return *reinterpret_cast<Board*>(memory_ + kAlignment +
                                   static_cast<size_t>(rank) * Aligned(sizeof(Board)));
}

float* SharedGroup::slot(int rank) const {
  std::byte* const slots =
      memory_ + kAlignment + static_cast<size_t>(size_) * Aligned(sizeof(Board));
  return reinterpret_cast<float*>(slots) + static_cast<size_t>(rank) * kSlotFloats;
}

std::unique_ptr<SharedGroup> SharedGroup::Join(const std::string& name, int rank, int size,
                                               std::function<bool()> should_stop) {
  std::unique_ptr<SharedGroup> group(new SharedGroup(rank, size, std::move(should_stop)));
  const int file = shm_open(name.c_str(), O_RDWR | O_CREAT, 0600);
  if (file < 0) return nullptr;
  const size_t bytes = SizeBytes(size);
  void* memory = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  close(file);
  if (memory != MAP_FAILED) {
    group->memory_ = static_cast<std::byte*>(memory);
    group->num_joined().fetch_add(1);
    const bool complete =
        group->WaitUntil([&] { return group->num_joined().load() == static_cast<uint32_t>(size); });
    if (complete) {
      if (rank == 0) shm_unlink(name.c_str());
      return group;
    }
  }
  shm_unlink(name.c_str());
  return nullptr;
}

SharedGroup::~SharedGroup() {
  if (memory_ != nullptr) munmap(memory_, SizeBytes(size_));
}

bool SharedGroup::WaitUntil(const std::function<bool()>& is_so) const {
  constexpr int kYields = 64;
  for (int i = 0; !is_so(); ++i) {
    if (should_stop_()) return false;
    if (i < kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  return true;
}

bool SharedGroup::Exchange(const float* mine, size_t count,
                           const std::function<void(const float* const* parts)>& use) {
  const auto all = [&](std::atomic<uint64_t> Board::*counter, uint64_t least) {
    return WaitUntil([&, counter, least] {
      for (int rank = 0; rank < size_; ++rank) {
        if ((board(rank).*counter).load(std::memory_order_acquire) < least) return false;
      }
      return true;
    });
  };
  if (!all(&Board::used, exchange_)) return false;
  ++exchange_;
  std::memcpy(slot(rank_), mine, count * sizeof(float));
  board(rank_).filled.store(exchange_, std::memory_order_release);
  if (!all(&Board::filled, exchange_)) return false;
  std::vector<const float*> parts;
  for (int rank = 0; rank < size_; ++rank) parts.push_back(slot(rank));
  use(parts.data());
  board(rank_).used.store(exchange_, std::memory_order_release);
  return true;
}

}  // namespace phalanx::testing
