#include "parallel/shared_memory_communicator.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "parallel/call_timer.h"
#include "parallel/futex.h"
#include "parallel/ordered_sum.h"
#include "parallel/shard_spec.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

// Shorter messages are summed whole by every rank. With two ranks the slices save no traffic, so
// they are never used there.
constexpr size_t kSlicedFromBytes = size_t{32} << 10;

// Elements per cache line: slices are cut there, so that no two ranks write one line.
constexpr int64_t kFloatsPerLine = kCacheLineBytes / sizeof(float);

// Modulo 2^31, which is far more than ranks can be apart.
bool Reached(uint32_t word, uint64_t phase) {
  const auto target = static_cast<uint32_t>(phase * kPhaseStep);
  return static_cast<int32_t>((word & ~kPoisonBit) - target) >= 0;
}

size_t Bytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

}  // namespace

SharedMemoryCommunicator::SharedMemoryCommunicator(SharedMemoryOptions options,
                                                   std::shared_ptr<SharedRegion> region)
    : options_(std::move(options)), region_(std::move(region)) {
  PHALANX_CHECK_GE(options_.rank, 0);
  PHALANX_CHECK_LT(options_.rank, size());
  PHALANX_CHECK_EQ(options_.layout.slot_bytes % kCacheLineBytes, 0u);
  PHALANX_CHECK_GT(options_.layout.slot_bytes, 0u);
  PHALANX_CHECK_GE(region_->size_bytes(), options_.layout.total_bytes());
  parts_.resize(static_cast<size_t>(size()));
}

SharedHeader& SharedMemoryCommunicator::header() const {
  return *reinterpret_cast<SharedHeader*>(region_->data());
}

RankBoard& SharedMemoryCommunicator::board(int rank) const {
  return reinterpret_cast<RankBoard*>(region_->data() + options_.layout.boards_offset())[rank];
}

std::byte* SharedMemoryCommunicator::slot(int rank, uint64_t phase) const {
  return region_->data() + options_.layout.slot_offset(rank, static_cast<int>(phase % kNumSlots));
}

// ---------------------------------------------------------------- synchronisation

Status SharedMemoryCommunicator::BeginPhase() {
  PHALANX_RETURN_IF_ERROR(WaitForAll(phase_));
  ++phase_;
  return OkStatus();
}

void SharedMemoryCommunicator::Publish(Op op, size_t bytes) {
  RankBoard& mine = board(rank());
  mine.tag[phase_ % kNumSlots] = static_cast<uint64_t>(bytes) << 8 | static_cast<uint64_t>(op);
  // Sequentially consistent on both sides: either the sleeper sees the new phase before it sleeps,
  // or its count is seen here.
  mine.phase.fetch_add(kPhaseStep, std::memory_order_seq_cst);
  if (mine.sleepers.load(std::memory_order_seq_cst) != 0) FutexWakeAll(mine.phase);
}

Status SharedMemoryCommunicator::WaitFor(int peer, uint64_t phase) {
  const uint32_t word = board(peer).phase.load(std::memory_order_acquire);
  if ((word & kPoisonBit) == 0 && Reached(word, phase)) [[likely]]
    return OkStatus();
  return WaitSlowly(peer, phase);
}

Status SharedMemoryCommunicator::WaitForAll(uint64_t phase) {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) PHALANX_RETURN_IF_ERROR(WaitFor(peer, phase));
  }
  return OkStatus();
}

Status SharedMemoryCommunicator::WaitSlowly(int peer, uint64_t phase) {
  constexpr int kSpinsPerLookAtClock = 32;
  constexpr auto kLongestSleep = std::chrono::seconds(1);
  RankBoard& theirs = board(peer);
  const auto spin_until = Clock::now() + options_.wait.spin;
  bool spinning = options_.wait.spin.count() > 0;
  int yields_left = options_.wait.yields;
  for (int i = 1;; ++i) {
    uint32_t word = theirs.phase.load(std::memory_order_acquire);
    if ((word & kPoisonBit) != 0) return PoisonError();
    if (Reached(word, phase)) return OkStatus();
    if (spinning) {
      CpuRelax();
      if (i % kSpinsPerLookAtClock == 0) spinning = Clock::now() < spin_until;
    } else if (yields_left > 0) {
      --yields_left;
      sched_yield();
    } else {
      theirs.sleepers.fetch_add(1, std::memory_order_seq_cst);
      word = theirs.phase.load(std::memory_order_seq_cst);
      if ((word & kPoisonBit) == 0 && !Reached(word, phase))
        FutexWait(theirs.phase, word, kLongestSleep);
      theirs.sleepers.fetch_sub(1, std::memory_order_relaxed);
    }
  }
}

Status SharedMemoryCommunicator::CheckTags(Op op, size_t bytes) {
  const uint64_t mine = static_cast<uint64_t>(bytes) << 8 | static_cast<uint64_t>(op);
  for (int peer = 0; peer < size(); ++peer) {
    const uint64_t theirs = board(peer).tag[phase_ % kNumSlots];
    if (theirs == mine) [[likely]]
      continue;
    Status error = InternalError(
        "ranks are out of step: rank {} is in operation {} of {} bytes, rank {} in operation {} of "
        "{} bytes",
        rank(), mine & 0xff, mine >> 8, peer, theirs & 0xff, theirs >> 8);
    Abort(error);
    return error;
  }
  return OkStatus();
}

void SharedMemoryCommunicator::Abort(const Status& reason) {
  PHALANX_CHECK(!reason.ok());
  SharedHeader& shared = header();
  uint32_t state = SharedHeader::kNone;
  if (shared.reason_state.compare_exchange_strong(state, SharedHeader::kWriting)) {
    shared.reason_rank = rank();
    shared.reason_code = static_cast<int32_t>(reason.code());
    const size_t size_bytes = std::min(reason.message().size(), kMaxReasonBytes);
    std::memcpy(shared.reason, reason.message().data(), size_bytes);
    shared.reason_size_bytes = static_cast<uint32_t>(size_bytes);
    shared.reason_state.store(SharedHeader::kWritten, std::memory_order_release);
    for (int peer = 0; peer < size(); ++peer) {
      board(peer).phase.fetch_or(kPoisonBit, std::memory_order_seq_cst);
      FutexWakeAll(board(peer).phase);
    }
  }
  if (options_.on_abort) {
    const Status first = PoisonError();
    options_.on_abort(shared.reason_rank, first);
  }
}

Status SharedMemoryCommunicator::PoisonError() const {
  const SharedHeader& shared = header();
  while (shared.reason_state.load(std::memory_order_acquire) != SharedHeader::kWritten)
    sched_yield();
  return Status(static_cast<StatusCode>(shared.reason_code),
                fmt::format("rank {} ended the group: {}", shared.reason_rank,
                            std::string_view(shared.reason, shared.reason_size_bytes)));
}

// ---------------------------------------------------------------- collectives

Status SharedMemoryCommunicator::AllReduceSum(const TensorView& data) {
  PHALANX_CHECK(data.dtype == DType::kF32);
  PHALANX_CHECK_EQ(data.stride, data.cols);
  const CallTimer timer(stats_);
  const int64_t count = data.rows * data.cols;
  auto* values = static_cast<float*>(data.data);
  if (size() > 2 && Bytes(count) >= kSlicedFromBytes) return ReduceSliced(values, count);
  return ReduceDirect(values, count);
}

Status SharedMemoryCommunicator::ReduceDirect(float* data, int64_t count) {
  const auto chunk = static_cast<int64_t>(options_.layout.slot_bytes / sizeof(float));
  int64_t begin = 0;
  do {  // an empty message still synchronises
    const int64_t n = std::min(chunk, count - begin);
    PHALANX_RETURN_IF_ERROR(BeginPhase());
    if (n > 0) std::memcpy(slot(rank(), phase_), data + begin, Bytes(n));
    Publish(Op::kReduce, Bytes(n));
    PHALANX_RETURN_IF_ERROR(WaitForAll(phase_));
    PHALANX_RETURN_IF_ERROR(CheckTags(Op::kReduce, Bytes(n)));
    for (int peer = 0; peer < size(); ++peer) {
      parts_[static_cast<size_t>(peer)] =
          peer == rank() ? data + begin : reinterpret_cast<const float*>(slot(peer, phase_));
    }
    OrderedSum(parts_, n, data + begin);
    begin += n;
  } while (begin < count);
  return OkStatus();
}

Status SharedMemoryCommunicator::ReduceSliced(float* data, int64_t count) {
  const auto slot_floats = static_cast<int64_t>(options_.layout.slot_bytes / sizeof(float));
  const int64_t chunk = std::min(slot_floats, count);
  const int64_t num_chunks = (count + chunk - 1) / chunk;
  const auto chunk_size = [&](int64_t c) { return std::min(chunk, count - c * chunk); };
  for (int64_t step = 0; step < num_chunks + 2; ++step) {
    const int64_t in = step, reduce = step - 1, out = step - 2;
    PHALANX_RETURN_IF_ERROR(BeginPhase());
    if (out >= 0) {
      for (int owner = 0; owner < size(); ++owner) {
        const Range slice = SplitRange(chunk_size(out), kFloatsPerLine, owner, size());
        std::memcpy(data + out * chunk + slice.begin, slot(owner, phase_ - 2) + Bytes(slice.begin),
                    Bytes(slice.size()));
      }
    }
    if (out == num_chunks - 1) {
      --phase_;  // nothing was written or promised in this step: the phase goes to the next call
      break;
    }
    if (reduce >= 0 && reduce < num_chunks) {
      const Range slice = SplitRange(chunk_size(reduce), kFloatsPerLine, rank(), size());
      for (int peer = 0; peer < size(); ++peer) {
        parts_[static_cast<size_t>(peer)] =
            reinterpret_cast<const float*>(slot(peer, phase_ - 1)) + slice.begin;
      }
      // The owner alone reads this slice of its own slot, so the sum may replace it.
      OrderedSum(parts_, slice.size(),
                 reinterpret_cast<float*>(slot(rank(), phase_ - 1)) + slice.begin);
    }
    size_t bytes = 0;
    if (in < num_chunks) {
      bytes = Bytes(chunk_size(in));
      std::memcpy(slot(rank(), phase_), data + in * chunk, bytes);
    }
    Publish(Op::kReduce, bytes);
    PHALANX_RETURN_IF_ERROR(WaitForAll(phase_));
    PHALANX_RETURN_IF_ERROR(CheckTags(Op::kReduce, bytes));
  }
  return OkStatus();
}

Status SharedMemoryCommunicator::AllGather(std::span<const std::byte> send,
                                           std::span<std::byte> recv) {
  PHALANX_CHECK_EQ(recv.size(), send.size() * static_cast<size_t>(size()));
  const CallTimer timer(stats_);
  const size_t chunk = options_.layout.slot_bytes;
  size_t begin = 0;
  do {
    const size_t n = std::min(chunk, send.size() - begin);
    PHALANX_RETURN_IF_ERROR(BeginPhase());
    if (n > 0) std::memcpy(slot(rank(), phase_), send.data() + begin, n);
    Publish(Op::kGather, n);
    PHALANX_RETURN_IF_ERROR(WaitForAll(phase_));
    PHALANX_RETURN_IF_ERROR(CheckTags(Op::kGather, n));
    for (int peer = 0; peer < size() && n > 0; ++peer) {
      std::memcpy(recv.data() + static_cast<size_t>(peer) * send.size() + begin, slot(peer, phase_),
                  n);
    }
    begin += n;
  } while (begin < send.size());
  return OkStatus();
}

Status SharedMemoryCommunicator::Broadcast(std::string& message) {
  constexpr int kRoot = 0;
  const size_t room = options_.layout.slot_bytes - sizeof(uint64_t);
  uint64_t total = message.size();
  size_t begin = 0;
  do {  // every chunk carries the length of the whole message
    if (rank() == kRoot) {
      PHALANX_RETURN_IF_ERROR(BeginPhase());
    } else {
      ++phase_;
      PHALANX_RETURN_IF_ERROR(WaitFor(kRoot, phase_));
    }
    std::byte* buffer = slot(kRoot, phase_);
    if (rank() == kRoot) {
      std::memcpy(buffer, &total, sizeof(total));
    } else {
      if ((board(kRoot).tag[phase_ % kNumSlots] & 0xff) != static_cast<uint64_t>(Op::kBroadcast)) {
        Status error = InternalError("ranks are out of step: rank {} expects a broadcast", rank());
        Abort(error);
        return error;
      }
      std::memcpy(&total, buffer, sizeof(total));
      if (begin == 0) message.resize(total);
    }
    const size_t n = std::min<size_t>(room, total - begin);
    if (rank() == kRoot) {
      std::memcpy(buffer + sizeof(total), message.data() + begin, n);
    } else {
      std::memcpy(message.data() + begin, buffer + sizeof(total), n);
    }
    Publish(Op::kBroadcast, n);
    begin += n;
  } while (begin < total);
  return OkStatus();
}

Status SharedMemoryCommunicator::Barrier() {
  PHALANX_RETURN_IF_ERROR(BeginPhase());
  Publish(Op::kBarrier, 0);
  PHALANX_RETURN_IF_ERROR(WaitForAll(phase_));
  return CheckTags(Op::kBarrier, 0);
}

}  // namespace phalanx
