// Sums of partial results over ranks, where they lie.
//
// In a device's memory, by DeviceCollectives on the backend's stream: fast numerics leave the order
// of the sum to the library; exact ones gather all parts and sum them in rank order, so that an
// element's bits do not depend on the message's size. Without DeviceCollectives, by Communicator in
// the host's memory, in rank order: exact under either.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/numerics.h"
#include "model/collectives_watch.h"
#include "parallel/communicator.h"
#include "parallel/device_collectives.h"

namespace phalanx {

class RankSum {
 public:
  // `collectives` may be null. All must outlive it.
  RankSum(Backend& backend, Communicator& communicator, DeviceCollectives* collectives,
          Numerics numerics);

  // Once, before the first sum: takes the memory that sums of up to `most_elements` need.
  Status Allocate(int64_t most_elements);

  // partial: f32, stride == cols; becomes the sum, enqueued where ops are.
  Status operator()(const TensorView& partial);

 private:
  Status SumOnHost(const TensorView& partial);
  Status SumInRankOrder(const TensorView& partial);

  Backend& backend_;
  Communicator& communicator_;
  DeviceCollectives* collectives_;
  std::unique_ptr<CollectivesWatch> watch_;  // where there are collectives
  Numerics numerics_;
  int64_t chunk_elements_ = 0;
  std::unique_ptr<Buffer> gathered_;  // [size, chunk_elements_] f32; null where not needed
};

}  // namespace phalanx
