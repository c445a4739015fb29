// Checks and times one op after another:
//
//   bench_ops --op linear --device cpu --threads 2 [--cpu-isa avx2] [--filter 0.5B] [--json]
//
// Each case is first compared with its double-precision oracle. Then measurements and passes of the
// read-bandwidth probe alternate; a case's fraction of the limit is the median over the rounds of
// max(bytes / bandwidth of this round, flop / FMA peak or tile_flop / tile peak) / time.
//
//   bench_ops --op all --device cuda --numerics fast
//
// On a CUDA device, in bench/device_ops.h's way: cuBLAS's time beside ours where it is found.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/device_ops.h"
#include "bench/device_suite.h"
#include "bench/op_case.h"
#include "bench/probe.h"
#include "kernels/backend_factory.h"
#include "kernels/base/cpus.h"

namespace phalanx {
namespace {

constexpr int kCpuRounds = 9;

struct Options {
  std::string op = "all";
  std::string filter;
  BackendOptions backend;
  std::optional<int> rounds{};
  bool json = false;
};

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

struct Measurement {
  double seconds = 0.0;
  double fraction = 0.0;
  bool limited_by_reading = false;
};

// Seconds of one run, averaged over a rotation that is repeated until it takes at least 2 ms.
double TimeRuns(const OpCase& op_case) {
  constexpr double kMinSeconds = 2e-3;
  int64_t runs = 0;
  const auto begin = std::chrono::steady_clock::now();
  double elapsed = 0.0;
  do {
    for (int64_t run = 0; run < op_case.num_runs; ++run) op_case.run(run);
    runs += op_case.num_runs;
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  } while (elapsed < kMinSeconds);
  return elapsed / static_cast<double>(runs);
}

struct Peaks {
  double fma = 0.0;   // GFLOP/s
  double tile = 0.0;  // of bf16 products
};

Measurement Measure(const OpCase& op_case, ReadBandwidthProbe& probe, const Peaks& peaks,
                    int rounds) {
  op_case.run(0);
  std::vector<double> seconds;
  std::vector<double> fractions;
  Measurement result;
  for (int round = 0; round < rounds; ++round) {
    const double time = TimeRuns(op_case);
    const double read_time = op_case.bytes / (probe.Measure() * 1e9);
    const double compute_time = op_case.tile_flop > 0.0 ? op_case.tile_flop / (peaks.tile * 1e9)
                                                        : op_case.flop / (peaks.fma * 1e9);
    result.limited_by_reading = read_time > compute_time;
    seconds.push_back(time);
    fractions.push_back(std::max(read_time, compute_time) / time);
  }
  result.seconds = Median(seconds);
  result.fraction = Median(fractions);
  return result;
}

int RunOnDevice(const Options& options) {
  using Format = DeviceOpsOptions::Format;
  return RunDeviceOps({.backend = options.backend,
                       .op = options.op,
                       .filter = options.filter,
                       .rounds = options.rounds,
                       .format = options.json ? Format::kJson : Format::kTable});
}

// INVALID_ARGUMENT naming --op where the device has no such op.
Status CheckOp(const Options& options) {
  std::vector<std::string> names = options.backend.device == "cpu" ? OpNames() : DeviceOpNames();
  names.emplace_back("all");
  if (std::ranges::find(names, options.op) != names.end()) return OkStatus();
  return InvalidField("--op", options.op, fmt::format("{}", fmt::join(names, ", ")));
}

int Run(const Options& options) {
  if (const Status status = CheckOp(options); !status.ok()) {
    fmt::print(stderr, "{}\n", status.message());
    return 2;
  }
  if (options.backend.device != "cpu") return RunOnDevice(options);
  StatusOr<std::unique_ptr<Backend>> backend = CreateBackend(options.backend);
  if (!backend.ok()) {
    fmt::print(stderr, "{}\n", backend.status().message());
    return 2;
  }
  const int threads =
      options.backend.num_threads == 0 ? NumUsableCpus() : options.backend.num_threads;
  CpuIsa isa = AvailableIsas().front();
  for (const CpuIsa candidate : AvailableIsas()) {
    if (Name(candidate) == (*backend)->isa()) isa = candidate;
  }
  ReadBandwidthProbe probe(threads);
  const Peaks peaks = {.fma = MeasureFmaPeak(threads, isa), .tile = MeasureTilePeak(threads)};
  std::vector<double> bandwidths;
  for (int pass = 0; pass < 5; ++pass) bandwidths.push_back(probe.Measure());
  nlohmann::json report = {{"device", options.backend.device},
                           {"cpu_isa", Name(isa)},
                           {"threads", threads},
                           {"read_bandwidth_gb_per_s", Median(bandwidths)},
                           {"fma_peak_gflop_per_s", peaks.fma},
                           {"tile_peak_gflop_per_s", peaks.tile},
                           {"cases", nlohmann::json::array()}};
  if (!options.json) {
    fmt::print("{} threads, {}: reads {:.1f} GB/s, peaks: FMA {:.1f}, bf16 tiles {:.0f} GFLOP/s\n",
               threads, Name(isa), Median(bandwidths), peaks.fma, peaks.tile);
    fmt::print("{:13} {:58} {:>11} {:>8} {:>9}  {}\n", "op", "shape", "median us", "GB/s",
               "GFLOP/s", "of limit");
  }
  int num_wrong = 0;
  for (const std::string& op : OpNames()) {
    if (options.op != "all" && options.op != op) continue;
    for (const OpCaseFactory& factory : CasesOf(op)) {
      const OpCase op_case = factory(**backend);
      if (op_case.shape.find(options.filter) == std::string::npos) continue;
      const std::string wrong = op_case.check();
      if (!wrong.empty()) {
        ++num_wrong;
        fmt::print(stderr, "{} {}: WRONG: {}\n", op_case.op, op_case.shape, wrong);
        continue;
      }
      const Measurement measured =
          Measure(op_case, probe, peaks, options.rounds.value_or(kCpuRounds));
      const double gb = op_case.bytes / measured.seconds * 1e-9;
      const double gflop = op_case.flop / measured.seconds * 1e-9;
      const char* limit = measured.limited_by_reading ? "read"
                          : op_case.tile_flop > 0.0   ? "tiles"
                                                      : "fma";
      if (options.json) {
        report["cases"].push_back({{"op", op_case.op},
                                   {"shape", op_case.shape},
                                   {"median_us", measured.seconds * 1e6},
                                   {"gb_per_s", gb},
                                   {"gflop_per_s", gflop},
                                   {"limit", limit},
                                   {"fraction_of_limit", measured.fraction}});
        continue;
      }
      fmt::print("{:13} {:58} {:11.1f} {:8.1f} {:9.1f}  {:.0f} % {}\n", op_case.op, op_case.shape,
                 measured.seconds * 1e6, gb, gflop, measured.fraction * 100, limit);
      std::fflush(stdout);
    }
  }
  if (options.json) fmt::print("{}\n", report.dump(2));
  return num_wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  phalanx::Options options;
  CLI::App app("Checks and times the ops of a backend");
  app.add_option("--op", options.op, "which op, or all")->capture_default_str();
  app.add_option("--device", options.backend.device, "backend")->capture_default_str();
  app.add_option_function<std::string>(
         "--numerics",
         [&options](const std::string& name) {
           options.backend.numerics =
               name == "fast" ? phalanx::Numerics::kFast : phalanx::Numerics::kExact;
         },
         "kernels for any batch, or picked by its size, on CUDA devices")
      ->check(CLI::IsMember({"exact", "fast"}))
      ->default_str("exact");
  app.add_option("--threads", options.backend.num_threads, "0: one per usable core")
      ->capture_default_str();
  app.add_option("--cpu-isa", options.backend.cpu_isa, "instruction set; empty: the best");
  app.add_option("--filter", options.filter, "only shapes that contain this");
  app.add_option("--rounds", options.rounds,
                 "measurements of each case; default: 9, on a GPU 5, on an emulated device 1")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "print one JSON object");
  CLI11_PARSE(app, argc, argv);
  phalanx::PrepareEnvironment(options.backend.device);
  return phalanx::Run(options);
}
