// What the ranks of one host publish about themselves, so that each can see whether the others
// live and get on. Everything is a lock-free word in memory that they share: publishing costs a few
// stores, and a rank that was stopped or killed cannot hold anything up.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "parallel/shared_layout.h"
#include "parallel/shared_region.h"

namespace phalanx {

enum class Activity : uint32_t {
  kStarting,        // until the group serves
  kWaitingForPlan,  // ranks 1..N-1 between steps
  kServing,         // rank 0 between steps: takes commands, reports tokens
  kForwardPass,
  kSampling,
  kLeaving,  // the rank is done, its peers may still have to be waited for
  kLeft,     // its process may end
  kFailed,   // it ends because of an error that it reports itself
};
std::string_view Name(Activity activity);

// How a rank gets on. One word: a new allowance must never be held against the time that the rank
// took for what came before.
struct Pace {
  uint32_t progress;    // rises whenever the rank gets on
  uint32_t allowed_ms;  // how long `progress` may stand still; 0: without limit
};

// Written by its rank, read by all; all zeros until the rank is there.
struct alignas(2 * kCacheLineBytes) LivenessRecord {
  std::atomic<int32_t> pid;
  std::atomic<int32_t> rank;
  std::atomic<uint32_t> activity;
  std::atomic<Pace> pace;
  std::atomic<uint64_t> step;
  std::atomic<uint64_t> beats;        // rises as long as the process runs at all
  std::atomic<uint64_t> collectives;  // how many the rank has entered
  std::atomic<uint32_t> is_waiting;   // 1 inside a collective
  // For metrics: since the start, in steps and, of that, in collectives.
  std::atomic<uint64_t> steps;
  std::atomic<uint64_t> step_ns;
  std::atomic<uint64_t> collective_ns;
  // For metrics: what the rank holds.
  std::atomic<int64_t> kv_cache_bytes;         // its part of the whole pool
  std::atomic<int64_t> device_reserved_bytes;  // all of its allocations; 0: it has no device
  std::atomic<int64_t> device_free_bytes;      // what that device can still give, to anybody
};

class LivenessBoard {
 public:
  // `region` holds SizeBytes(size) bytes, zeroed before the first rank comes here. `index` is this
  // rank's place among the `size` ranks of its host, `rank` its place in the whole group of
  // `group_size`.
  LivenessBoard(std::shared_ptr<SharedRegion> region, int index, int size, int rank,
                int group_size);

  static size_t SizeBytes(int size);

  int index() const { return index_; }
  int size() const { return size_; }
  int group_size() const { return group_size_; }

  LivenessRecord& mine() const { return record(index_); }
  LivenessRecord& record(int index) const;

  // This rank gets on: it is in `activity` of `step`, and will publish again within `allowed`
  // (zero: nobody knows when).
  void Publish(Activity activity, uint64_t step, std::chrono::milliseconds allowed) const;

  // Somebody asked this host's ranks to stop, by a signal to any of them.
  void RequestStop() const;
  bool stop_requested() const;

  // A rank has seen to the end of the group: the others just leave.
  void MarkEnded() const;
  bool is_ended() const;

 private:
  struct Header;
  Header& header() const;

  const std::shared_ptr<SharedRegion> region_;
  const int index_;
  const int size_;
  const int group_size_;
};

// Of a process that has no peers.
std::shared_ptr<LivenessBoard> MakeLonelyLivenessBoard();

}  // namespace phalanx
