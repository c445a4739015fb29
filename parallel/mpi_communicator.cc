#include "parallel/mpi_communicator.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "parallel/call_timer.h"
#include "parallel/ordered_sum.h"
#include "parallel/shard_spec.h"

namespace phalanx {
namespace {

constexpr int kRoot = 0;
constexpr int kBroadcastTag = 1;
constexpr int64_t kSlicedFromFloats = 8 << 10;  // 32 KiB
constexpr int64_t kChunkFloats = 1 << 20;       // bounds the scratch memory and MPI's int counts
constexpr size_t kChunkBytes = size_t{4} << 20;

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(std::shared_ptr<MpiEnvironment> environment)
      : environment_(std::move(environment)), parts_(static_cast<size_t>(size())) {}

  int rank() const override { return environment_->rank(); }
  int size() const override { return environment_->size(); }
  std::string_view name() const override { return "mpi"; }

  Status AllReduceSum(const TensorView& data) override {
    PHALANX_CHECK(data.dtype == DType::kF32);
    PHALANX_CHECK_EQ(data.stride, data.cols);
    const CallTimer timer(stats_);
    const int64_t count = data.rows * data.cols;
    auto* values = static_cast<float*>(data.data);
    for (int64_t begin = 0; begin < count; begin += kChunkFloats) {
      const int64_t n = std::min(kChunkFloats, count - begin);
      PHALANX_RETURN_IF_ERROR(size() > 2 && n >= kSlicedFromFloats
                                  ? ReduceSliced(values + begin, n)
                                  : ReduceDirect(values + begin, n));
    }
    return OkStatus();
  }

  Status AllGather(std::span<const std::byte> send, std::span<std::byte> recv) override {
    PHALANX_CHECK_EQ(recv.size(), send.size() * static_cast<size_t>(size()));
    const CallTimer timer(stats_);
    std::vector<std::byte> pieces;  // needed where the ranks' parts do not arrive side by side
    for (size_t begin = 0; begin < send.size(); begin += kChunkBytes) {
      const size_t n = std::min(kChunkBytes, send.size() - begin);
      const bool whole = n == send.size();
      if (!whole) pieces.resize(n * static_cast<size_t>(size()));
      std::byte* to = whole ? recv.data() : pieces.data();
      PHALANX_RETURN_IF_ERROR(
          MpiStatus(MPI_Allgather(send.data() + begin, static_cast<int>(n), MPI_BYTE, to,
                                  static_cast<int>(n), MPI_BYTE, environment_->world()),
                    "MPI_Allgather"));
      for (size_t peer = 0; !whole && peer < static_cast<size_t>(size()); ++peer)
        std::memcpy(recv.data() + peer * send.size() + begin, pieces.data() + peer * n, n);
    }
    return OkStatus();
  }

  Status Broadcast(std::string& message) override {
    uint64_t total = message.size();
    PHALANX_RETURN_IF_ERROR(BroadcastPiece(&total, sizeof(total)));
    if (rank() != kRoot) message.resize(total);
    for (size_t begin = 0; begin < total; begin += kChunkBytes) {
      PHALANX_RETURN_IF_ERROR(
          BroadcastPiece(message.data() + begin, std::min(kChunkBytes, total - begin)));
    }
    return OkStatus();
  }

  Status Barrier() override { return MpiStatus(MPI_Barrier(environment_->world()), "MPI_Barrier"); }

  void Abort(const Status& reason) override { environment_->AbortAll(rank(), reason); }

  Stats stats() const override { return stats_; }

 private:
  Status ReduceDirect(float* data, int64_t count) {
    float* gathered = Scratch(count * size());
    const auto n = static_cast<int>(count);
    PHALANX_RETURN_IF_ERROR(
        MpiStatus(MPI_Allgather(data, n, MPI_FLOAT, gathered, n, MPI_FLOAT, environment_->world()),
                  "MPI_Allgather"));
    for (int peer = 0; peer < size(); ++peer)
      parts_[static_cast<size_t>(peer)] = gathered + peer * count;
    OrderedSum(parts_, count, data);
    return OkStatus();
  }

  Status ReduceSliced(float* data, int64_t count) {
    const auto n = static_cast<size_t>(size());
    const Range mine = SplitRange(count, 1, rank(), size());
    float* received = Scratch(mine.size() * size());
    std::vector<int> slice_counts(n), slice_begins(n), my_counts(n), my_begins(n);
    for (int peer = 0; peer < size(); ++peer) {
      const auto p = static_cast<size_t>(peer);
      const Range slice = SplitRange(count, 1, peer, size());
      slice_counts[p] = static_cast<int>(slice.size());
      slice_begins[p] = static_cast<int>(slice.begin);
      my_counts[p] = static_cast<int>(mine.size());
      my_begins[p] = static_cast<int>(peer * mine.size());
      parts_[p] = received + peer * mine.size();
    }
    PHALANX_RETURN_IF_ERROR(MpiStatus(
        MPI_Alltoallv(data, slice_counts.data(), slice_begins.data(), MPI_FLOAT, received,
                      my_counts.data(), my_begins.data(), MPI_FLOAT, environment_->world()),
        "MPI_Alltoallv"));
    OrderedSum(parts_, mine.size(), data + mine.begin);
    return MpiStatus(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, slice_counts.data(),
                                    slice_begins.data(), MPI_FLOAT, environment_->world()),
                     "MPI_Allgatherv");
  }

  Status BroadcastPiece(void* data, size_t size_bytes) {
    const MPI_Comm world = environment_->world();
    const auto n = static_cast<int>(size_bytes);
    if (rank() != kRoot) {
      PHALANX_RETURN_IF_ERROR(SleepUntilMessage());
      return MpiStatus(MPI_Recv(data, n, MPI_BYTE, kRoot, kBroadcastTag, world, MPI_STATUS_IGNORE),
                       "MPI_Recv");
    }
    std::vector<MPI_Request> requests(static_cast<size_t>(size()), MPI_REQUEST_NULL);
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == kRoot) continue;
      PHALANX_RETURN_IF_ERROR(MpiStatus(MPI_Isend(data, n, MPI_BYTE, peer, kBroadcastTag, world,
                                                  &requests[static_cast<size_t>(peer)]),
                                        "MPI_Isend"));
    }
    return MpiStatus(MPI_Waitall(size(), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  }

  Status SleepUntilMessage() {
    constexpr int kLooksBeforeNaps = 200;
    constexpr std::chrono::microseconds kLongestNap(1000);
    std::chrono::microseconds nap(20);
    for (int looks = 0;; ++looks) {
      int arrived = 0;
      PHALANX_RETURN_IF_ERROR(MpiStatus(
          MPI_Iprobe(kRoot, kBroadcastTag, environment_->world(), &arrived, MPI_STATUS_IGNORE),
          "MPI_Iprobe"));
      if (arrived != 0) return OkStatus();
      if (looks < kLooksBeforeNaps) {
        sched_yield();
      } else {
        std::this_thread::sleep_for(nap);
        nap = std::min(kLongestNap, nap * 5 / 4);
      }
    }
  }

  float* Scratch(int64_t num_floats) {
    if (static_cast<int64_t>(scratch_.size()) < num_floats)
      scratch_.resize(static_cast<size_t>(num_floats));
    return scratch_.data();
  }

  const std::shared_ptr<MpiEnvironment> environment_;
  std::vector<const float*> parts_;  // [size]
  std::vector<float> scratch_;
  Stats stats_;
};

}  // namespace

std::unique_ptr<Communicator> MakeMpiOnlyCommunicator(std::shared_ptr<MpiEnvironment> environment) {
  return std::make_unique<MpiCommunicator>(std::move(environment));
}

}  // namespace phalanx
