// A group of ranks over POSIX shared memory: what the stand-in for NCCL moves its data with.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace phalanx::testing {

// One rank's part of it. Every call waits for the others and gives up once `should_stop` says so.
class SharedGroup {
 public:
  static constexpr size_t kSlotFloats = size_t{16} << 10;

  // Makes or joins the group of this name; null where it was stopped or memory cannot be had.
  static std::unique_ptr<SharedGroup> Join(const std::string& name, int rank, int size,
                                           std::function<bool()> should_stop);
  ~SharedGroup();
  SharedGroup(const SharedGroup&) = delete;
  SharedGroup& operator=(const SharedGroup&) = delete;

  // Shows `count` <= kSlotFloats floats to all ranks and lets `use` see everybody's; then all may
  // go on. False where it was stopped.
  bool Exchange(const float* mine, size_t count,
                const std::function<void(const float* const* parts)>& use);

  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  struct Board {
    std::atomic<uint64_t> filled;  // exchanges that the rank has shown its part of
    std::atomic<uint64_t> used;    // and has read everybody's of
  };
  SharedGroup(int rank, int size, std::function<bool()> should_stop)
      : rank_(rank), size_(size), should_stop_(std::move(should_stop)) {}

  static size_t SizeBytes(int size);
  std::atomic<uint32_t>& num_joined() const;
  Board& board(int rank) const;
  float* slot(int rank) const;
  bool WaitUntil(const std::function<bool()>& is_so) const;

  const int rank_;
  const int size_;
  const std::function<bool()> should_stop_;
  std::byte* memory_ = nullptr;
  uint64_t exchange_ = 0;
};

}  // namespace phalanx::testing
