// Collectives of one rank group. All ranks call the same operations in the same order; a call
// returns when the local result is there. One thread per rank calls it (Abort may come from any).
//
// Reductions sum element by element in rank order, ((x0 + x1) + x2) + ..., whatever the message
// size: a row's bits are the same at 1 row and at 512. Every rank gets the same bits.
//
// An error (a peer gone, a transport failure) is permanent for the group: the caller stops the
// rank.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/status.h"
#include "kernels/base/tensor_view.h"

namespace phalanx {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string_view name() const = 0;  // "single", "thread", "shm", "mpi"

  // In place, f32; data.stride == data.cols.
  virtual Status AllReduceSum(const TensorView& data) = 0;
  // recv: [size, send.size()] in rank order. Same send size on every rank.
  virtual Status AllGather(std::span<const std::byte> send, std::span<std::byte> recv) = 0;
  // Rank 0's message reaches every rank, of any length. Waiting ranks sleep, however long it takes.
  virtual Status Broadcast(std::string& message) = 0;
  virtual Status Barrier() = 0;
  // Ends the whole group, this process included where the group spans processes; peers that wait
  // return an error. Idempotent.
  virtual void Abort(const Status& reason) = 0;

  // Seconds this rank has spent inside AllReduceSum and AllGather, and how many calls; for the
  // all-reduce share.
  struct Stats {
    double seconds = 0;
    int64_t calls = 0;
  };
  virtual Stats stats() const = 0;
};

}  // namespace phalanx
