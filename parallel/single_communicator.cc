#include "parallel/single_communicator.h"

#include <cstring>
#include <mutex>

namespace phalanx {
namespace {

class SingleCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string_view name() const override { return "single"; }

  Status AllReduceSum(const TensorView& data) override {
    PHALANX_CHECK(data.dtype == DType::kF32);
    PHALANX_CHECK_EQ(data.stride, data.cols);
    return CountCall();
  }

  Status AllGather(std::span<const std::byte> send, std::span<std::byte> recv) override {
    PHALANX_CHECK_EQ(recv.size(), send.size());
    if (!send.empty()) std::memmove(recv.data(), send.data(), send.size());
    return CountCall();
  }

  Status Broadcast(std::string&) override { return reason(); }
  Status Barrier() override { return reason(); }

  void Abort(const Status& reason) override {
    const std::lock_guard lock(mutex_);
    if (reason_.ok()) reason_ = reason;
  }

  Stats stats() const override { return stats_; }

 private:
  Status reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }
  Status CountCall() {
    ++stats_.calls;
    return reason();
  }

  mutable std::mutex mutex_;
  Status reason_;  // guarded by mutex_
  Stats stats_;
};

}  // namespace

std::unique_ptr<Communicator> MakeSingleCommunicator() {
  return std::make_unique<SingleCommunicator>();
}

}  // namespace phalanx
