#include "parallel/watched_communicator.h"

#include "parallel/in_collective.h"

namespace phalanx {
namespace {

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(Communicator& inner, const LivenessBoard& board)
      : inner_(inner), record_(board.mine()) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string_view name() const override { return inner_.name(); }
  Status AllReduceSum(const TensorView& data) override {
    const InCollective mark(record_);
    return inner_.AllReduceSum(data);
  }
  Status AllGather(std::span<const std::byte> send, std::span<std::byte> recv) override {
    const InCollective mark(record_);
    return inner_.AllGather(send, recv);
  }
  Status Broadcast(std::string& message) override {
    const InCollective mark(record_);
    return inner_.Broadcast(message);
  }
  Status Barrier() override {
    const InCollective mark(record_);
    return inner_.Barrier();
  }
  void Abort(const Status& reason) override { inner_.Abort(reason); }
  Stats stats() const override { return inner_.stats(); }

 private:
  Communicator& inner_;
  LivenessRecord& record_;
};

}  // namespace

std::unique_ptr<Communicator> MakeWatchedCommunicator(Communicator& inner,
                                                      const LivenessBoard& board) {
  return std::make_unique<WatchedCommunicator>(inner, board);
}

}  // namespace phalanx
