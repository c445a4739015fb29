#include "model/rank_sum.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

// Of a part that is gathered at once: what decoding sums, 256 rows of 4,096 columns, is one piece.
constexpr int64_t kMostChunkElements = 1 << 20;

}  // namespace

RankSum::RankSum(Backend& backend, Communicator& communicator, DeviceCollectives* collectives,
                 Numerics numerics)
    : backend_(backend),
      communicator_(communicator),
      collectives_(collectives),
      numerics_(numerics) {
  if (collectives_ == nullptr) return;
  PHALANX_CHECK(backend_.device_queue() != nullptr);
  watch_ = std::make_unique<CollectivesWatch>(*backend_.device_queue(), *collectives_);
}

Status RankSum::Allocate(int64_t most_elements) {
  if (collectives_ == nullptr || numerics_ == Numerics::kFast) return OkStatus();
  chunk_elements_ = std::min(most_elements, kMostChunkElements);
  const auto bytes = static_cast<size_t>(chunk_elements_ * collectives_->size()) * sizeof(float);
  PHALANX_ASSIGN_OR_RETURN(gathered_, backend_.Allocate(bytes, "gathered partial results"));
  return OkStatus();
}

Status RankSum::operator()(const TensorView& partial) {
  PHALANX_CHECK(partial.dtype == DType::kF32);
  PHALANX_CHECK_EQ(partial.stride, partial.cols);
  if (collectives_ == nullptr) return SumOnHost(partial);
  if (numerics_ == Numerics::kExact) return SumInRankOrder(partial);
  const CollectiveScope scope(*backend_.device_queue());
  return collectives_->AllReduceSum(static_cast<float*>(partial.data), partial.rows * partial.cols);
}

Status RankSum::SumOnHost(const TensorView& partial) {
  if (communicator_.size() == 1) return communicator_.AllReduceSum(partial);
  const TensorView host = backend_.HostView(partial);
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  PHALANX_RETURN_IF_ERROR(communicator_.AllReduceSum(host));
  if (host.data != partial.data) {
    backend_.CopyToDevice(partial.data, host.data,
                          static_cast<size_t>(host.rows * host.cols) * sizeof(float));
  }
  return OkStatus();
}

Status RankSum::SumInRankOrder(const TensorView& partial) {
  DeviceQueue& queue = *backend_.device_queue();
  auto* const data = static_cast<float*>(partial.data);
  auto* const gathered = static_cast<float*>(gathered_->data());
  const int64_t count = partial.rows * partial.cols;
  for (int64_t begin = 0; begin < count; begin += chunk_elements_) {
    const int64_t n = std::min(chunk_elements_, count - begin);
    {
      const CollectiveScope scope(queue);
      PHALANX_RETURN_IF_ERROR(collectives_->AllGather(data + begin, n, gathered));
    }
    queue.SumParts(gathered, collectives_->size(), MakeTensor(data + begin, DType::kF32, 1, n));
  }
  return OkStatus();
}

}  // namespace phalanx
