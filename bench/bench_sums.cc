// mpirun -np N bench_sums --device cuda [--nccl-library PATH] [--json]
//
// Times the sums over ranks that a model on a device makes (model/rank_sum.h), by message size:
//
//   nccl     NCCL sums, in an order of its choice: fast numerics
//   ordered  NCCL gathers, the device sums in rank order: exact numerics
//   host     in the host's memory, where ranks share a GPU or there is no NCCL
//
// The median of rounds on rank 0, behind a check of the result. bus_gb_per_s is 2 (N - 1) / N *
// bytes / time, as nccl-tests has it. With --json a line for each size and kind.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/choice_flag.h"
#include "kernels/backend_factory.h"
#include "model/rank_sum.h"
#include "parallel/mpi_factory.h"
#include "worker/agreement.h"
#include "worker/device_sums.h"
#include "worker/host.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

struct BenchOptions {
  BackendOptions backend{.device = "cuda"};
  DeviceSumsOptions sums;
  int rounds = 11;
  bool json = false;
};

// How much is measured on one kind of device.
struct Effort {
  int64_t most_bytes = 0;
  double seconds_of_round = 0;
};

Effort EffortOn(std::string_view device) {
  if (device != "cuda") return {.most_bytes = 32 << 10};
  return {.most_bytes = 16 << 20, .seconds_of_round = 5e-3};
}

struct SumKind {
  std::string name;
  DeviceCollectives* collectives;  // null: in the host's memory
  Numerics numerics;
};

std::vector<SumKind> KindsOf(DeviceCollectives* collectives) {
  const SumKind host{"host", nullptr, Numerics::kExact};
  if (collectives == nullptr) return {host};
  return {{"nccl", collectives, Numerics::kFast}, {"ordered", collectives, Numerics::kExact}, host};
}

// One kind of sum of one size.
class Sums {
 public:
  Sums(Backend& backend, Communicator& communicator, const SumKind& kind, int64_t count)
      : backend_(backend),
        communicator_(communicator),
        sum_(backend, communicator, kind.collectives, kind.numerics),
        count_(count) {}

  Status Prepare() {
    PHALANX_ASSIGN_OR_RETURN(
        buffer_, backend_.Allocate(static_cast<size_t>(count_) * sizeof(float), "what is summed"));
    return sum_.Allocate(count_);
  }
  Status Check();
  // Of one sum; the median of rounds.
  StatusOr<double> Seconds(double seconds_of_round, int rounds);

 private:
  Status Fill(float value) {
    const std::vector<float> values(static_cast<size_t>(count_), value);
    backend_.CopyToDevice(buffer_->data(), values.data(), values.size() * sizeof(float));
    return backend_.Finish();
  }
  StatusOr<double> SecondsOf(int64_t calls) {
    const TensorView data = MakeTensor(buffer_->data(), DType::kF32, 1, count_);
    PHALANX_RETURN_IF_ERROR(communicator_.Barrier());
    const Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < calls; ++i) PHALANX_RETURN_IF_ERROR(sum_(data));
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    return std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(calls);
  }

  Backend& backend_;
  Communicator& communicator_;
  RankSum sum_;
  const int64_t count_;
  std::unique_ptr<Buffer> buffer_;  // [count_] f32
};

Status Sums::Check() {
  PHALANX_RETURN_IF_ERROR(Fill(static_cast<float>(communicator_.rank() + 1)));
  PHALANX_RETURN_IF_ERROR(SecondsOf(1).status());
  std::vector<float> values(static_cast<size_t>(count_));
  backend_.CopyToHost(values.data(), buffer_->data(), values.size() * sizeof(float));
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  const auto expected = static_cast<float>(communicator_.size() * (communicator_.size() + 1) / 2);
  const auto wrong = std::ranges::find_if(values, [&](float value) { return value != expected; });
  if (wrong == values.end()) return OkStatus();
  return InternalError("element {} of a sum of {} is {}, expected: {}", wrong - values.begin(),
                       count_, *wrong, expected);
}

StatusOr<double> Sums::Seconds(double seconds_of_round, int rounds) {
  // Zeros stay finite however often they are summed.
  PHALANX_RETURN_IF_ERROR(Fill(0.0F));
  constexpr int64_t kFirstCalls = 3;
  PHALANX_ASSIGN_OR_RETURN(const double first, SecondsOf(kFirstCalls));
  const auto wanted = static_cast<int64_t>(std::clamp(seconds_of_round / first, 1.0, 1e4));
  // All ranks make the same number of calls.
  PHALANX_ASSIGN_OR_RETURN(const int64_t calls, AgreeOnMinimum(communicator_, wanted));
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    PHALANX_ASSIGN_OR_RETURN(const double each, SecondsOf(calls));
    seconds.push_back(each);
  }
  const auto middle = seconds.begin() + rounds / 2;
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

void Print(const BenchOptions& options, const Communicator& communicator, const SumKind& kind,
           int64_t bytes, double seconds) {
  if (communicator.rank() != 0) return;
  const int ranks = communicator.size();
  const double bus_gb_per_s =
      2.0 * (ranks - 1) / ranks * static_cast<double>(bytes) / seconds * 1e-9;
  if (options.json) {
    const nlohmann::ordered_json line = {{"ranks", ranks},
                                         {"bytes", bytes},
                                         {"median_us", seconds * 1e6},
                                         {"bus_gb_per_s", bus_gb_per_s},
                                         {"sums", kind.name},
                                         {"device", options.backend.device}};
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("{:8} {:>10} {:>12.2f} {:>10.2f}\n", kind.name, bytes, seconds * 1e6, bus_gb_per_s);
  }
  std::fflush(stdout);
}

Status Run(const BenchOptions& options, Communicator& communicator) {
  if (communicator.size() < 2) {
    return InvalidField("the number of ranks", communicator.size(), "2 or more: mpirun -np N");
  }
  PHALANX_ASSIGN_OR_RETURN(const auto backend, Agree(communicator, CreateBackend(options.backend)));
  const Effort effort = EffortOn(options.backend.device);
  // As a model's steps have them, sums through the host have pinned memory.
  PHALANX_RETURN_IF_ERROR(AgreeOnStatus(
      communicator,
      backend->PrepareSteps(
          {.max_num_tokens = 1,
           .max_num_seqs = 1,
           .max_num_logit_rows = 1,
           .num_logit_cols = 1,
           .max_blocks_per_seq = 1,
           .max_host_floats = effort.most_bytes / static_cast<int64_t>(sizeof(float))})));
  PHALANX_ASSIGN_OR_RETURN(const auto collectives,
                           CreateDeviceCollectives(options.sums, *backend, communicator));
  if (communicator.rank() == 0 && !options.json) {
    fmt::print("{} ranks, {}, {}: {}\n", communicator.size(), backend->device(), backend->isa(),
               collectives == nullptr ? "sums in the host's memory" : collectives->name());
    fmt::print("{:8} {:>10} {:>12} {:>10}\n", "sums", "bytes", "median us", "bus GB/s");
  }
  for (const SumKind& kind : KindsOf(collectives.get())) {
    for (int64_t bytes = 8 << 10; bytes <= effort.most_bytes; bytes *= 2) {
      Sums sums(*backend, communicator, kind, bytes / static_cast<int64_t>(sizeof(float)));
      PHALANX_RETURN_IF_ERROR(AgreeOnStatus(communicator, sums.Prepare()));
      PHALANX_RETURN_IF_ERROR(AgreeOnStatus(communicator, sums.Check()));
      PHALANX_ASSIGN_OR_RETURN(const double seconds,
                               sums.Seconds(effort.seconds_of_round, options.rounds));
      Print(options, communicator, kind, bytes, seconds);
    }
  }
  return OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Times sums over ranks of what lies in devices' memory.", "bench_sums");
  app.add_option("--device", options.backend.device, "cuda or cuda-emulated")
      ->check(CLI::IsMember(AvailableDevices()))
      ->capture_default_str();
  AddChoice<DeviceSums>(
      app, "--sums", options.sums.by,
      {{"auto", DeviceSums::kAuto}, {"host", DeviceSums::kHost}, {"nccl", DeviceSums::kNccl}},
      "host: in the host's memory alone; auto: by NCCL, too, between GPUs");
  app.add_option("--nccl-library", options.sums.nccl_library, "default: libnccl.so.2");
  app.add_option("--ranks-per-gpu", options.sums.ranks_per_gpu, "ranks of a host that share a GPU")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "measured rounds; medians are reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--json", options.json, "JSON objects, a line each, instead of a table");
  CLI11_PARSE(app, argc, argv);
  PrepareEnvironment(options.backend.device);
  options.backend.gpu = {.local_rank = FindLocalRank().index,
                         .ranks_per_gpu = options.sums.ranks_per_gpu};
  auto communicator = CreateMpiCommunicator({});
  const Status status = communicator.ok() ? Run(options, **communicator) : communicator.status();
  if (status.ok()) return 0;
  // Ranks agree on what is wrong with the options, and each ends by itself.
  const bool is_usage = status.code() == StatusCode::kInvalidArgument;
  if (!communicator.ok() || !is_usage || (*communicator)->rank() == 0) {
    fmt::print(stderr, "bench_sums: {}\n", status.message());
  }
  if (communicator.ok() && !is_usage) (*communicator)->Abort(status);
  return is_usage ? 2 : 1;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Main(argc, argv); }
