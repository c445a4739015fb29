// Collectives of one rank group on a device's memory. They are enqueued on the device's stream, in
// the same order on all ranks and from one thread per rank; their results are there for what is
// enqueued behind them. Plans, candidates and agreements go through Communicator.
//
// An error is permanent for the group: every later call returns it, and the caller stops the rank.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

class DeviceCollectives {
 public:
  virtual ~DeviceCollectives() = default;
  virtual std::string_view name() const = 0;  // with its version, as results may depend on that
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // data[i] becomes its sum over ranks, the same bits on every rank, in an order of the library's
  // choice, which may depend on `count`.
  virtual Status AllReduceSum(float* data, int64_t count) = 0;
  // recv: [size, count], in rank order; may not alias `send`.
  virtual Status AllGather(const float* send, int64_t count, float* recv) = 0;

  // What has become of all that was enqueued: the first error, or OK so far. For who waits for the
  // stream: a collective whose peer is lost never ends by itself, and has ended once this returns
  // an error.
  virtual Status Check() = 0;
  // Around each wait of the host for what was enqueued, so that the rank shows as one that waits
  // for its peers (parallel/liveness.h).
  virtual void BeginWait() = 0;
  virtual void EndWait() = 0;
  // Ends what is under way on this rank, with `reason` unless there is one already. From any
  // thread; idempotent.
  virtual void Abort(const Status& reason) = 0;
};

// How a thread that ends the group finds the collectives to abort, before they exist and after they
// are gone. From any thread.
class CollectivesInUse {
 public:
  void Set(std::weak_ptr<DeviceCollectives> collectives) {
    const std::lock_guard lock(mutex_);
    collectives_ = std::move(collectives);
  }
  void Abort(const Status& reason) const {
    if (const auto collectives = Get()) collectives->Abort(reason);
  }

 private:
  std::shared_ptr<DeviceCollectives> Get() const {
    const std::lock_guard lock(mutex_);
    return collectives_.lock();
  }

  mutable std::mutex mutex_;
  std::weak_ptr<DeviceCollectives> collectives_;
};

}  // namespace phalanx
