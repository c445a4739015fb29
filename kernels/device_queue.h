// What a library that works on a device's memory beside the backend (NCCL) needs of it: the stream
// that orders the work of both, what belongs to its results, and a say while the host waits.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/base/status.h"
#include "kernels/base/tensor_view.h"

namespace phalanx {

class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // A cudaStream_t. Null on an emulated device, whose commands have finished when they return.
  virtual void* stream_handle() const = 0;

  // kernels/sum_parts.h; enqueued. parts: [num_parts, out.rows * out.cols], dense, f32.
  virtual void SumParts(const float* parts, int num_parts, const TensorView& out) = 0;

  // Whoever waits for the stream asks `check` again and again, and waits no longer once it returns
  // an error, which then counts as the stream's. Empty: nobody is asked.
  virtual void SetWaitCheck(std::function<Status()> check) = 0;
};

}  // namespace phalanx
