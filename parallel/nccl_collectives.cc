#include "parallel/nccl_collectives.h"

#include <sched.h>

#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "parallel/in_collective.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kNoLimit{0};

double Seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) * 1e-3; }

// What was enqueued, for messages.
struct Enqueued {
  std::string_view name = "none";
  int64_t index = 0;  // since the start
  int64_t count = 0;  // elements of a rank
};

class NcclCollectives final : public DeviceCollectives {
 public:
  NcclCollectives(const NcclOptions& options, int rank, int size)
      : options_(options),
        rank_(rank),
        size_(size),
        name_(fmt::format("nccl-{}", options.library.version())) {}

  // All work is done by now. Unlike ncclCommDestroy, an abort waits for no peer.
  ~NcclCollectives() override { AbortCommunicator(); }
  NcclCollectives(const NcclCollectives&) = delete;
  NcclCollectives& operator=(const NcclCollectives&) = delete;

  Status Init(const nccl::UniqueId& id);

  std::string_view name() const override { return name_; }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduceSum(float* data, int64_t count) override {
    return Enqueue("all-reduce", count, [&](nccl::Comm* comm) {
      return library().all_reduce(data, data, static_cast<size_t>(count), nccl::kFloat32,
                                  nccl::kSum, comm, options_.stream);
    });
  }
  Status AllGather(const float* send, int64_t count, float* recv) override {
    return Enqueue("all-gather", count, [&](nccl::Comm* comm) {
      return library().all_gather(send, recv, static_cast<size_t>(count), nccl::kFloat32, comm,
                                  options_.stream);
    });
  }
  Status Check() override {
    const nccl::Result result = AsyncResult();
    if (result == nccl::kSuccess || result == nccl::kInProgress) return reason();
    return Fail(result);
  }
  void BeginWait() override {
    if (options_.board != nullptr) ShowWait(options_.board->mine());
  }
  void EndWait() override {
    if (options_.board != nullptr) EndShownWait(options_.board->mine());
  }
  void Abort(const Status& reason) override {
    KeepFirst(reason);
    AbortCommunicator();
  }

 private:
  const NcclLibrary& library() const { return options_.library; }

  template <typename Call>
  Status Enqueue(std::string_view name, int64_t count, const Call& call);
  // The communicator's state; kInvalidUsage where it was aborted.
  nccl::Result AsyncResult();
  // Until the communicator is no longer in progress, or `timeout` has passed.
  nccl::Result WaitWhileInProgress(std::chrono::milliseconds timeout);

  Status reason() const {
    const std::lock_guard lock(reason_mutex_);
    return reason_;
  }
  void KeepFirst(const Status& reason) {
    const std::lock_guard lock(reason_mutex_);
    if (reason_.ok()) reason_ = reason;
  }
  Status Fail(nccl::Result result);
  void AbortCommunicator();

  const NcclOptions options_;
  const int rank_;
  const int size_;
  const std::string name_;
  Enqueued last_;
  // Held for one call of NCCL, none of which waits for a peer.
  std::mutex comm_mutex_;
  nccl::Comm* comm_ = nullptr;  // guarded by comm_mutex_; null once it was aborted
  mutable std::mutex reason_mutex_;
  Status reason_;  // guarded by reason_mutex_
};

Status NcclCollectives::Init(const nccl::UniqueId& id) {
  const auto timeout = options_.init_timeout;
  nccl::Config config;
  config.blocking = 0;
  nccl::Result result;
  {
    const std::lock_guard lock(comm_mutex_);
    result = library().comm_init_rank_config(&comm_, size_, id, rank_, &config);
  }
  if (result == nccl::kInProgress) result = WaitWhileInProgress(timeout);
  if (result == nccl::kSuccess) return OkStatus();
  const bool is_late = result == nccl::kInProgress;
  Status status = is_late
                      ? DeadlineExceededError("NCCL {} has not connected {} ranks within {:.1f} s",
                                              library().version(), size_, Seconds(timeout))
                      : UnavailableError("NCCL {} cannot connect {} ranks: {}", library().version(),
                                         size_, library().Describe(result));
  Abort(status);
  return status;
}

template <typename Call>
Status NcclCollectives::Enqueue(std::string_view name, int64_t count, const Call& call) {
  PHALANX_RETURN_IF_ERROR(reason());
  std::optional<InCollective> mark;
  if (options_.board != nullptr) mark.emplace(options_.board->mine());
  last_ = {.name = name, .index = last_.index + 1, .count = count};
  nccl::Result result = nccl::kInvalidUsage;
  {
    const std::lock_guard lock(comm_mutex_);
    if (comm_ != nullptr) result = call(comm_);
  }
  // Later waits are bounded by their step's deadline (worker/watchdog.h).
  const auto timeout = last_.index == 1 ? options_.init_timeout : kNoLimit;
  if (result == nccl::kInProgress) result = WaitWhileInProgress(timeout);
  if (result == nccl::kInProgress) {
    Abort(DeadlineExceededError("NCCL {} has not connected for its first {} within {:.1f} s",
                                library().version(), name, Seconds(timeout)));
    return reason();
  }
  return result == nccl::kSuccess ? OkStatus() : Fail(result);
}

nccl::Result NcclCollectives::AsyncResult() {
  const std::lock_guard lock(comm_mutex_);
  if (comm_ == nullptr) return nccl::kInvalidUsage;
  nccl::Result state = nccl::kSuccess;
  const nccl::Result result = library().comm_get_async_error(comm_, &state);
  return result == nccl::kSuccess ? state : result;
}

nccl::Result NcclCollectives::WaitWhileInProgress(std::chrono::milliseconds timeout) {
  const Clock::time_point begin = Clock::now();
  // Few waits are long, and ranks may share cores with the library's own threads.
  constexpr int kYields = 64;
  constexpr auto kNap = std::chrono::microseconds(100);
  for (int i = 0;; ++i) {
    const nccl::Result result = AsyncResult();
    if (result != nccl::kInProgress) return result;
    if (timeout != kNoLimit && Clock::now() - begin >= timeout) return result;
    if (i < kYields) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

Status NcclCollectives::Fail(nccl::Result result) {
  // An abort by another thread has told its reason before it took the communicator away.
  KeepFirst(UnavailableError("NCCL {}, at or before collective {} ({} of {} floats): {}",
                             library().version(), last_.index, last_.name, last_.count,
                             library().Describe(result)));
  AbortCommunicator();
  return reason();
}

void NcclCollectives::AbortCommunicator() {
  // A call that does not return keeps the communicator; the caller is about to end the process.
  constexpr auto kLongestCall = std::chrono::seconds(1);
  const Clock::time_point begin = Clock::now();
  // Not a timed mutex: ThreadSanitizer does not know how that is locked.
  std::unique_lock lock(comm_mutex_, std::try_to_lock);
  while (!lock.owns_lock() && Clock::now() - begin < kLongestCall) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    lock.try_lock();
  }
  if (!lock.owns_lock() || comm_ == nullptr) return;
  // Its result changes nothing: there is nothing left to do with the communicator.
  library().comm_abort(std::exchange(comm_, nullptr));
}

}  // namespace

StatusOr<std::shared_ptr<DeviceCollectives>> CreateNcclCollectives(const NcclOptions& options,
                                                                   Communicator& host) {
  nccl::UniqueId id = {};
  std::string message;
  Status status;
  if (host.rank() == 0) {
    const nccl::Result result = options.library.get_unique_id(&id);
    if (result == nccl::kSuccess) {
      message.assign(id.internal, sizeof(id.internal));
    } else {
      status = UnavailableError("NCCL {} has no unique id: {}", options.library.version(),
                                options.library.Describe(result));
    }
  }
  // Of no length where there is none, so that no rank waits for it.
  PHALANX_RETURN_IF_ERROR(host.Broadcast(message));
  PHALANX_RETURN_IF_ERROR(status);
  if (message.size() != sizeof(id.internal)) {
    return UnavailableError("NCCL's unique id from rank 0 has {} bytes, allowed: {}",
                            message.size(), sizeof(id.internal));
  }
  std::memcpy(id.internal, message.data(), sizeof(id.internal));
  auto collectives = std::make_shared<NcclCollectives>(options, host.rank(), host.size());
  PHALANX_RETURN_IF_ERROR(collectives->Init(id));
  return std::shared_ptr<DeviceCollectives>(std::move(collectives));
}

}  // namespace phalanx
