// What a library that works on a device's memory beside the backend (NCCL) needs of it: the stream
// that orders the work of both, what belongs to its results, and a say while the host waits.
#pragma once

#include "kernels/base/status.h"
#include "kernels/base/tensor_view.h"

namespace phalanx {

// Has a say while the host waits for a queue in which other processes' work may be waited for.
class QueueWatch {
 public:
  virtual ~QueueWatch() = default;
  // Asked again and again during a wait; once it returns an error, which then counts as the
  // stream's, nobody waits any longer.
  virtual Status Check() = 0;
  // Around each wait for work that includes a collective.
  virtual void BeginWait() = 0;
  virtual void EndWait() = 0;
};

class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // A cudaStream_t. Null on an emulated device, whose commands have finished when they return.
  virtual void* stream_handle() const = 0;

  // kernels/sum_parts.h; enqueued. parts: [num_parts, out.rows * out.cols], dense, f32.
  virtual void SumParts(const float* parts, int num_parts, const TensorView& out) = 0;

  // Around what enqueues a collective. Use CollectiveScope.
  virtual void BeginCollective() = 0;
  virtual void EndCollective() = 0;
  // What the device has spent in them, waiting for other ranks included: of all that had ended when
  // Backend::Finish returned last.
  virtual double CollectiveSeconds() const = 0;

  // `watch` outlives its use; null: nobody is asked or told.
  virtual void SetWatch(QueueWatch* watch) = 0;
};

class CollectiveScope {
 public:
  explicit CollectiveScope(DeviceQueue& queue) : queue_(queue) { queue_.BeginCollective(); }
  ~CollectiveScope() { queue_.EndCollective(); }
  CollectiveScope(const CollectiveScope&) = delete;
  CollectiveScope& operator=(const CollectiveScope&) = delete;

 private:
  DeviceQueue& queue_;
};

}  // namespace phalanx
