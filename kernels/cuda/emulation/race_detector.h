// Finds two accesses of one place, at least one a write, that no barrier orders: by vector clocks
// (Lamport 1978, Mattern 1989), with the memory per place reduced as in FastTrack (Flanagan &
// Freund 2009): the last write, and the last read or the set of warps that have read since.
//
// Blocks of one launch are never ordered; launches always are, one behind the other. A place is a
// half word: two threads that write one byte each of it count as racing.
//
// Reads by several threads that nothing orders are kept as warps and the latest of their times. A
// later write must come behind everything that the other threads of these warps did until then, so
// a barrier of part of a warp would be found too weak; there is none among the primitives. Who has
// met the readers at several named barriers, and not all of them behind the last read, may be told
// of a race that is none.
//
// Atomic updates do not race with each other, in whatever block, and order nothing. Of several only
// the last is remembered.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace phalanx::cuda::emulation {

// Blocks are numbered through all launches, from 1 on; 0: never.
struct AccessRecord {
  uint32_t write_block = 0;
  uint32_t write_time = 0;
  uint32_t read_block = 0;
  uint32_t read_time = 0;
  uint32_t read_warps = 0;    // 0: one thread, read_thread
  uint16_t write_thread = 0;  // kAtomic is set where it was an atomic update
  uint16_t read_thread = 0;   // kSeveralBlocks: threads of more blocks than read_block

  bool Equals(const AccessRecord& other) const {
    using Words = std::array<uint64_t, 3>;
    return std::bit_cast<Words>(*this) == std::bit_cast<Words>(other);
  }
};

class RaceDetector {
 public:
  static constexpr uint16_t kSeveralBlocks = 0xffff;
  static constexpr uint16_t kAtomic = 0x8000;

  // A block begins; `first_block` is the first one of its launch.
  void BeginBlock(uint32_t block, uint32_t first_block, int num_threads);

  // The threads have met: what each did before is ordered before what all do from here on.
  void Join(std::span<const uint16_t> threads);

  // Another thread that `thread` races with; in another block of the launch: kElsewhere.
  static constexpr int kElsewhere = -1;
  struct Race {
    int thread = kElsewhere;
    bool with_write = false;
  };
  std::optional<Race> OnRead(AccessRecord& record, int thread);
  std::optional<Race> OnWrite(AccessRecord& record, int thread);
  std::optional<Race> OnAtomic(AccessRecord& record, int thread);

  // For memory that each block has to itself.
  void ForgetOtherBlocks(AccessRecord& record) const {
    if (record.write_block != block_) record.write_block = 0;
    if (record.read_block != block_) record.read_block = 0;
  }
  // Whether somebody of this block has written here.
  bool Written(const AccessRecord& record) const { return record.write_block == block_; }

 private:
  // What a thread knows of the others: their times at the last meeting, direct or not. Shared by
  // those who met.
  struct Known {
    std::vector<uint32_t> times;       // [num_threads]
    std::vector<uint32_t> warp_least;  // [num_warps] least of the warp's
  };
  struct Thread {
    std::shared_ptr<const Known> known;
    uint32_t time = 1;
  };

  bool Before(int other, uint32_t time, int thread) const {
    return other == thread ||
           threads_[static_cast<size_t>(thread)].known->times[static_cast<size_t>(other)] >= time;
  }
  bool InOtherBlock(uint32_t block) const { return block >= first_block_ && block != block_; }
  std::optional<Race> AgainstWrite(const AccessRecord& record, int thread) const;
  std::optional<Race> AgainstReads(const AccessRecord& record, int thread) const;

  uint32_t block_ = 0;
  uint32_t first_block_ = 0;
  std::shared_ptr<const Known> nothing_;
  std::vector<Thread> threads_;
};

}  // namespace phalanx::cuda::emulation
