// A stand-in for NCCL, so that tests reach everything around it on machines without a GPU. It is
// never installed, moves data between processes of one host through shared memory, and takes host
// addresses and the null stream alone: those of an emulated device.
//
// As NCCL with a non-blocking communicator it returns ncclInProgress and works on a thread of its
// own, and it sums in an order that depends on the size of the message where there are more than
// two ranks. What goes wrong is said by environment variables; RANK:CALL counts collectives from 1:
//
//   NCCL_STAND_IN_VERSION=N        what ncclGetVersion returns
//   NCCL_STAND_IN_ABSENT=RANK      the rank never joins
//   NCCL_STAND_IN_ERROR=RANK:CALL  the call fails while it is in progress
//   NCCL_STAND_IN_LATE_ERROR=RANK:CALL  it succeeds, and an asynchronous error shows behind it
//   NCCL_STAND_IN_HANG=RANK:CALL   the rank never does its part
//   NCCL_STAND_IN_WRONG=RANK:CALL  the rank gets a wrong sum
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "parallel/nccl_api.h"
#include "tests/testing/nccl_stand_in/shared_group.h"

using namespace phalanx::nccl;
using phalanx::testing::SharedGroup;

namespace {

constexpr const char* kName = "/nccl_stand_in.";

int64_t NumberIn(std::string_view text, int64_t otherwise) {
  int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string_view Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

// The call of RANK:CALL where the rank is this one; never the 0th.
int64_t CallFrom(const char* variable, int rank) {
  const std::string_view value = Variable(variable);
  const size_t colon = value.find(':');
  if (colon == std::string_view::npos || NumberIn(value, -1) != rank) return 0;
  return NumberIn(value.substr(colon + 1), 0);
}

}  // namespace

// Behind ncclComm_t.
class phalanx::nccl::Comm {
 public:
  Comm(std::string name, int rank, int size)
      : error_at_(CallFrom("NCCL_STAND_IN_ERROR", rank)),
        late_error_at_(CallFrom("NCCL_STAND_IN_LATE_ERROR", rank)),
        hang_at_(CallFrom("NCCL_STAND_IN_HANG", rank)),
        wrong_at_(CallFrom("NCCL_STAND_IN_WRONG", rank)) {
    Start([this, name = std::move(name), rank, size] {
      const bool is_absent = NumberIn(Variable("NCCL_STAND_IN_ABSENT"), -1) == rank;
      if (is_absent) return Never();
      group_ = SharedGroup::Join(name, rank, size, [this] { return stop_.load(); });
      return group_ == nullptr ? kSystemError : kSuccess;
    });
  }
  ~Comm() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // What ncclCommGetAsyncError says.
  Result Look() {
    const Result state = state_;
    if (state == kSuccess && call_ > 0 && call_ == late_error_at_) state_ = kRemoteError;
    return state;
  }

  bool is_wrong() const { return call_ == wrong_at_; }

  // Work for the communicator's thread, which does one thing at a time.
  Result Begin(std::function<bool(SharedGroup&)> work) {
    if (state_ == kInProgress) return kInvalidArgument;
    if (state_ != kSuccess) return state_;
    ++call_;
    Start([this, call = call_, work = std::move(work)] {
      if (call == error_at_) return kRemoteError;
      if (call == hang_at_) return Never();
      return work(*group_) ? kSuccess : kSystemError;
    });
    return kInProgress;
  }

 private:
  void Start(std::function<Result()> work) {
    if (thread_.joinable()) thread_.join();
    state_ = kInProgress;
    thread_ = std::thread([this, work = std::move(work)] { state_ = work(); });
  }
  Result Never() const {
    while (!stop_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return kSystemError;
  }

  const int64_t error_at_;
  const int64_t late_error_at_;
  const int64_t hang_at_;
  const int64_t wrong_at_;
  int64_t call_ = 0;
  std::unique_ptr<SharedGroup> group_;
  std::atomic<bool> stop_ = false;
  std::atomic<Result> state_ = kInProgress;
  std::thread thread_;
};

namespace {

// A ring gives each rank a slice of the message, whose sum begins with the next rank's part; short
// messages go another way. So the order of an element's sum depends on the message's size.
int FirstRank(size_t i, size_t count, int size) {
  constexpr size_t kShort = 1024;
  if (count < kShort) return 0;
  return (static_cast<int>(i * static_cast<size_t>(size) / count) + 1) % size;
}

bool Sum(SharedGroup& group, const float* send, float* recv, size_t count) {
  for (size_t begin = 0; begin < count; begin += SharedGroup::kSlotFloats) {
    const size_t n = std::min(SharedGroup::kSlotFloats, count - begin);
    const bool done = group.Exchange(send + begin, n, [&](const float* const* parts) {
      for (size_t i = 0; i < n; ++i) {
        const int first = FirstRank(begin + i, count, group.size());
        float sum = parts[first][i];
        for (int step = 1; step < group.size(); ++step) {
          sum += parts[(first + step) % group.size()][i];
        }
        recv[begin + i] = sum;
      }
    });
    if (!done) return false;
  }
  return true;
}

bool Gather(SharedGroup& group, const float* send, float* recv, size_t count) {
  for (size_t begin = 0; begin < count; begin += SharedGroup::kSlotFloats) {
    const size_t n = std::min(SharedGroup::kSlotFloats, count - begin);
    const bool done = group.Exchange(send + begin, n, [&](const float* const* parts) {
      for (int rank = 0; rank < group.size(); ++rank) {
        std::memcpy(recv + static_cast<size_t>(rank) * count + begin, parts[rank],
                    n * sizeof(float));
      }
    });
    if (!done) return false;
  }
  return true;
}

}  // namespace

extern "C" {
#define PHALANX_EXPORT [[gnu::visibility("default")]]

PHALANX_EXPORT Result ncclGetVersion(int* version) {
  *version = static_cast<int>(NumberIn(Variable("NCCL_STAND_IN_VERSION"), VersionCode(2, 18, 0)));
  return kSuccess;
}

PHALANX_EXPORT Result ncclGetUniqueId(UniqueId* id) {
  *id = {};
  std::snprintf(id->internal, sizeof(id->internal), "%s%d.%08x", kName, getpid(),
                std::random_device()());
  return kSuccess;
}

PHALANX_EXPORT const char* ncclGetErrorString(Result result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kSystemError:
      return "unhandled system error";
    case kInvalidArgument:
      return "invalid argument";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "another error";
  }
}

PHALANX_EXPORT const char* ncclGetLastError(Comm*) { return "this is the stand-in for NCCL"; }

PHALANX_EXPORT Result ncclCommInitRankConfig(Comm** comm, int num_ranks, UniqueId id, int rank,
                                             Config* config) {
  const std::string name(id.internal, strnlen(id.internal, sizeof(id.internal)));
  const bool is_config = config != nullptr && config->size == sizeof(Config) &&
                         config->magic == Config::kMagic && config->blocking == 0;
  if (!is_config || name.rfind(kName, 0) != 0 || rank < 0 || rank >= num_ranks) {
    return kInvalidArgument;
  }
  *comm = new Comm(name, rank, num_ranks);
  return kInProgress;
}

PHALANX_EXPORT Result ncclCommGetAsyncError(Comm* comm, Result* error) {
  *error = comm->Look();
  return kSuccess;
}

PHALANX_EXPORT Result ncclCommAbort(Comm* comm) {
  delete comm;
  return kSuccess;
}

PHALANX_EXPORT Result ncclAllReduce(const void* send, void* recv, size_t count, DataType type,
                                    RedOp op, Comm* comm, void* stream) {
  if (type != kFloat32 || op != kSum || stream != nullptr) return kInvalidArgument;
  return comm->Begin([=](SharedGroup& group) {
    auto* const sums = static_cast<float*>(recv);
    const bool done = Sum(group, static_cast<const float*>(send), sums, count);
    if (done && comm->is_wrong()) sums[0] += 1.0F;
    return done;
  });
}

PHALANX_EXPORT Result ncclAllGather(const void* send, void* recv, size_t send_count, DataType type,
                                    Comm* comm, void* stream) {
  if (type != kFloat32 || stream != nullptr) return kInvalidArgument;
  return comm->Begin([=](SharedGroup& group) {
    return Gather(group, static_cast<const float*>(send), static_cast<float*>(recv), send_count);
  });
}
}
