#include "worker/device_sums.h"

#include "model/collectives_watch.h"
#include "parallel/nccl_collectives.h"
#include "parallel/nccl_library.h"
#include "worker/agreement.h"

namespace phalanx {
namespace {

bool IsNcclWanted(const DeviceSumsOptions& options, const Backend& backend,
                  const Communicator& communicator) {
  if (options.by != DeviceSums::kAuto) return options.by == DeviceSums::kNccl;
  return backend.device() == "cuda" && communicator.size() > 1 && options.ranks_per_gpu == 1;
}

// Aborts what has not ended within `timeout`; 0: no limit.
class FirstSumWatch final : public CollectivesWatch {
 public:
  FirstSumWatch(DeviceQueue& queue, DeviceCollectives& collectives,
                std::chrono::milliseconds timeout)
      : CollectivesWatch(queue, collectives), timeout_(timeout) {}

  Status Check() override {
    if (timeout_.count() != 0 && Clock::now() - begin_ >= timeout_) {
      collectives().Abort(DeadlineExceededError(
          "{}: the first sum over ranks has not ended within {:.1f} s", collectives().name(),
          static_cast<double>(timeout_.count()) * 1e-3));
    }
    return CollectivesWatch::Check();
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::chrono::milliseconds timeout_;
  const Clock::time_point begin_ = Clock::now();
};

// The first sum makes the connections between the ranks, and where the host or the network is set
// up wrongly, that hangs: better here, under a deadline, than in the first step.
Status ProveSums(DeviceCollectives& collectives, Backend& backend,
                 std::chrono::milliseconds timeout) {
  const int size = collectives.size();
  DeviceQueue& queue = *backend.device_queue();
  PHALANX_ASSIGN_OR_RETURN(const auto buffer, backend.Allocate(sizeof(float), "first sum"));
  float value = static_cast<float>(collectives.rank() + 1);
  backend.CopyToDevice(buffer->data(), &value, sizeof(value));
  {
    const CollectiveScope scope(queue);
    PHALANX_RETURN_IF_ERROR(collectives.AllReduceSum(static_cast<float*>(buffer->data()), 1));
  }
  {
    FirstSumWatch watch(queue, collectives, timeout);
    backend.CopyToHost(&value, buffer->data(), sizeof(value));
    PHALANX_RETURN_IF_ERROR(backend.Finish());
  }
  const int sum = size * (size + 1) / 2;
  const auto expected = static_cast<float>(sum);
  if (value == expected) return OkStatus();
  return InternalError("{} sums the numbers from 1 to {} over ranks to {}, expected: {}",
                       collectives.name(), size, value, expected);
}

}  // namespace

StatusOr<std::shared_ptr<DeviceCollectives>> CreateDeviceCollectives(
    const DeviceSumsOptions& options, Backend& backend, Communicator& communicator) {
  std::shared_ptr<DeviceCollectives> none;
  if (!IsNcclWanted(options, backend, communicator)) return none;
  DeviceQueue* const queue = backend.device_queue();
  if (queue == nullptr) {
    return InvalidField("--communicator", "nccl",
                        fmt::format("auto, shm, mpi with --device {}", backend.device()));
  }
  if (options.ranks_per_gpu != 1) {
    return InvalidField(
        "--communicator", "nccl",
        fmt::format("auto, shm, mpi with --ranks-per-gpu {}", options.ranks_per_gpu));
  }
  PHALANX_ASSIGN_OR_RETURN(const NcclLibrary library,
                           Agree(communicator, NcclLibrary::Load(options.nccl_library)));
  // Unlike versions do not understand each other, and fail in stranger ways.
  PHALANX_RETURN_IF_ERROR(AgreeOnValues(communicator, {{"NCCL's version", library.version()}}));
  PHALANX_ASSIGN_OR_RETURN(
      auto collectives,
      Agree(communicator, CreateNcclCollectives({.library = library,
                                                 .stream = queue->stream_handle(),
                                                 .init_timeout = options.init_timeout,
                                                 .board = options.board},
                                                communicator)));
  if (options.in_use != nullptr) options.in_use->Set(collectives);
  PHALANX_RETURN_IF_ERROR(
      AgreeOnStatus(communicator, ProveSums(*collectives, backend, options.init_timeout)));
  return collectives;
}

std::string OrderOfSums(const DeviceCollectives* collectives, Numerics numerics) {
  if (collectives == nullptr || numerics == Numerics::kExact) return "ordered";
  return std::string(collectives->name());
}

}  // namespace phalanx
