// mpirun -np N bench_allreduce [--communicator auto|shm|mpi] [--threads K] [--json]
//
// Times AllReduceSum by message size: median of rounds on rank 0, with a check of the result. GB/s
// is message bytes / time ("algorithm bandwidth").
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "parallel/mpi_factory.h"

namespace phalanx {
namespace {

constexpr int kRounds = 21;
constexpr double kSecondsPerRound = 0.01;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Mean seconds of a call over `calls` calls.
StatusOr<double> TimeCalls(Communicator& communicator, const TensorView& data, int64_t calls) {
  PHALANX_RETURN_IF_ERROR(communicator.Barrier());
  const auto begin = Clock::now();
  for (int64_t i = 0; i < calls; ++i) PHALANX_RETURN_IF_ERROR(communicator.AllReduceSum(data));
  return SecondsSince(begin) / static_cast<double>(calls);
}

// All ranks must make the same number of calls: rank 0 says how many.
StatusOr<int64_t> AgreeOnCalls(Communicator& communicator, double seconds_per_call) {
  const double calls = std::clamp(kSecondsPerRound / seconds_per_call, 1.0, 1e5);
  std::string message = std::to_string(static_cast<int64_t>(calls));
  PHALANX_RETURN_IF_ERROR(communicator.Broadcast(message));
  return int64_t{std::stoll(message)};
}

// Median seconds of a call.
StatusOr<double> Measure(Communicator& communicator, int64_t count) {
  std::vector<float> data(static_cast<size_t>(count), static_cast<float>(communicator.rank() + 1));
  const TensorView view = MakeTensor(data.data(), DType::kF32, 1, count);
  PHALANX_RETURN_IF_ERROR(communicator.AllReduceSum(view));
  const auto expected = static_cast<float>(communicator.size() * (communicator.size() + 1) / 2);
  if (std::any_of(data.begin(), data.end(), [&](float value) { return value != expected; }))
    return InternalError("wrong sum, expected {}", expected);

  std::fill(data.begin(), data.end(), 0.0f);  // stays finite however often it is summed
  PHALANX_ASSIGN_OR_RETURN(const double first, TimeCalls(communicator, view, 10));
  PHALANX_ASSIGN_OR_RETURN(const int64_t calls, AgreeOnCalls(communicator, first));
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    PHALANX_ASSIGN_OR_RETURN(const double seconds, TimeCalls(communicator, view, calls));
    rounds.push_back(seconds);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

enum class Output { kTable, kJson };

Status Run(Communicator& communicator, int threads, Output output) {
  const long num_cores = sysconf(_SC_NPROCESSORS_ONLN);
  const bool oversubscribed = static_cast<long>(communicator.size()) * threads > num_cores;
  nlohmann::json result = {{"ranks", communicator.size()},
                           {"threads", threads},
                           {"communicator", communicator.name()},
                           {"oversubscribed", oversubscribed},
                           {"sizes", nlohmann::json::array()}};
  const bool speaks = communicator.rank() == 0;
  if (speaks && output == Output::kTable) {
    fmt::print("all-reduce, f32 sum: {} ranks x {} threads, {}, {} cores{}\n", communicator.size(),
               threads, communicator.name(), num_cores, oversubscribed ? ", oversubscribed" : "");
    fmt::print("{:>10} {:>12} {:>10}\n", "bytes", "median us", "GB/s");
  }
  for (int64_t bytes = 1024; bytes <= int64_t{16} << 20; bytes *= 4) {
    PHALANX_ASSIGN_OR_RETURN(const double seconds,
                             Measure(communicator, bytes / static_cast<int64_t>(sizeof(float))));
    const double gb_per_s = static_cast<double>(bytes) / seconds * 1e-9;
    if (speaks && output == Output::kTable)
      fmt::print("{:>10} {:>12.2f} {:>10.2f}\n", bytes, seconds * 1e6, gb_per_s);
    result["sizes"].push_back(
        {{"bytes", bytes}, {"median_us", seconds * 1e6}, {"gb_per_s", gb_per_s}});
  }
  if (speaks && output == Output::kJson) fmt::print("{}\n", result.dump(2));
  return OkStatus();
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  using namespace phalanx;  // NOLINT(google-build-using-namespace)
  CLI::App app("Times the all-reduce by message size.");
  std::string kind_name = "auto";
  int threads = 1;
  bool json = false;
  app.add_option("--communicator", kind_name, "auto, shm or mpi");
  app.add_option("--threads", threads, "busy threads of a rank")->check(CLI::PositiveNumber);
  app.add_flag("--json", json, "print JSON");
  CLI11_PARSE(app, argc, argv);

  const auto kind = ParseCommunicatorKind(kind_name);
  if (!kind.ok()) {
    fmt::print(stderr, "{}\n", kind.status().ToString());
    return 2;
  }
  auto communicator = CreateMpiCommunicator({.kind = *kind, .threads_per_rank = threads});
  if (!communicator.ok()) {
    fmt::print(stderr, "{}\n", communicator.status().ToString());
    return 1;
  }
  const Status status = Run(**communicator, threads, json ? Output::kJson : Output::kTable);
  if (!status.ok()) {
    (*communicator)->Abort(status);
    return 1;
  }
  return 0;
}
