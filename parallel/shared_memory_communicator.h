// Collectives over memory that all ranks see; threads of one process and processes of one host use
// the same algorithms.
//
// Every collective is a sequence of phases. In phase p a rank fills its slot p mod 3, publishes p
// on its board, and waits until its peers have published p before it reads theirs. Publishing p
// says that the rank has finished every read of phases <= p - 2, so once all have published p - 1 a
// slot of phase p - 3 may be written again: one synchronisation per phase is enough.
//
//   AllReduceSum, short: one phase; every rank reads all slots and sums them in rank order.
//   AllReduceSum, long:  a pipeline of chunks; in one phase a rank copies chunk c in, sums its
//   slice
//                        of chunk c - 1 and copies chunk c - 2 out. Each element is still summed in
//                        rank order, so both ways give the same bits.
//   Broadcast:           rank 0 fills and publishes; the others wait for rank 0 alone.
//
// A wait spins or yields shortly (WaitPolicy), then sleeps on the peer's board (futex).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/shared_layout.h"
#include "parallel/shared_region.h"
#include "parallel/wait_policy.h"

namespace phalanx {

struct SharedMemoryOptions {
  int rank = 0;
  SharedLayout layout;
  WaitPolicy wait;
  std::string_view name = "shm";  // static storage
  // Called by Abort after the group was poisoned, with the rank and the reason that came first.
  std::function<void(int first_rank, const Status& first_reason)> on_abort;
};

// Room for a chunk; longer messages go in several. Fits the second-level caches with all slots.
inline constexpr size_t kDefaultSlotBytes = size_t{128} << 10;

class SharedMemoryCommunicator final : public Communicator {
 public:
  // The region holds layout.total_bytes(), zeroed before the first rank comes here.
  SharedMemoryCommunicator(SharedMemoryOptions options, std::shared_ptr<SharedRegion> region);

  int rank() const override { return options_.rank; }
  int size() const override { return options_.layout.size; }
  std::string_view name() const override { return options_.name; }
  Status AllReduceSum(const TensorView& data) override;
  Status AllGather(std::span<const std::byte> send, std::span<std::byte> recv) override;
  Status Broadcast(std::string& message) override;
  Status Barrier() override;
  void Abort(const Status& reason) override;
  Stats stats() const override { return stats_; }

 private:
  enum class Op : uint8_t { kReduce = 1, kGather, kBroadcast, kBarrier };

  SharedHeader& header() const;
  RankBoard& board(int rank) const;
  std::byte* slot(int rank, uint64_t phase) const;

  // Begins the next phase: its slot may be written once this returns OK.
  Status BeginPhase();
  void Publish(Op op, size_t bytes);
  Status WaitFor(int peer, uint64_t phase);
  Status WaitForAll(uint64_t phase);
  Status WaitSlowly(int peer, uint64_t phase);
  // After WaitForAll: all ranks do the same.
  Status CheckTags(Op op, size_t bytes);
  Status PoisonError() const;

  Status ReduceDirect(float* data, int64_t count);
  Status ReduceSliced(float* data, int64_t count);
  Status Gather(std::span<const std::byte> send, std::span<std::byte> recv);

  const SharedMemoryOptions options_;
  const std::shared_ptr<SharedRegion> region_;
  uint64_t phase_ = 0;  // the phase this rank is in
  std::vector<const float*> parts_;
  Stats stats_;
};

}  // namespace phalanx
