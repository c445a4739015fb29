#include "bench/device_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/device_limits.h"
#include "bench/device_suite.h"
#include "bench/run_clock.h"

namespace phalanx {
namespace {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Who computes a case.
struct Contender {
  DeviceRun run;
  int64_t runs = 1;  // of one measurement
  std::vector<double> seconds{};
};

struct Measured {
  double seconds = 0;
  std::optional<double> cublas_seconds{};
};

StatusOr<Measured> Measure(RunClock& clock, const DeviceCase& one, const DeviceEffort& effort) {
  std::vector<Contender> contenders = {{.run = one.run}};
  if (one.cublas_run) contenders.push_back({.run = one.cublas_run});
  for (Contender& contender : contenders) {
    // The first ones may cost more, and tell the clock how long enqueuing takes.
    contender.runs = std::min(one.rotation, clock.most_runs());
    for (;; contender.runs = std::min(2 * contender.runs, clock.most_runs())) {
      PHALANX_ASSIGN_OR_RETURN(const double seconds,
                               clock.SecondsOf(contender.run, contender.runs));
      if (seconds >= effort.least_seconds || contender.runs == clock.most_runs()) break;
    }
  }
  for (int round = 0; round < effort.rounds; ++round) {
    for (Contender& contender : contenders) {
      PHALANX_ASSIGN_OR_RETURN(const double seconds,
                               clock.SecondsOf(contender.run, contender.runs));
      contender.seconds.push_back(seconds / static_cast<double>(contender.runs));
    }
  }
  Measured measured{.seconds = Median(contenders.front().seconds)};
  if (one.cublas_run) measured.cublas_seconds = Median(contenders.back().seconds);
  return measured;
}

Status Check(const DeviceCase& one) {
  PHALANX_ASSIGN_OR_RETURN(const std::string wrong, one.check());
  if (!wrong.empty()) return InternalError("wrong: {}", wrong);
  if (!one.cublas_check) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(const std::string wrong_too, one.cublas_check());
  return wrong_too.empty() ? OkStatus() : InternalError("cuBLAS is wrong: {}", wrong_too);
}

struct Floor {
  std::string_view limit;
  double us = 0;
};

Floor FloorOf(const DeviceCase& one, const DeviceLimits& limits) {
  const double read_us = one.bytes / limits.read_gb_per_s * 1e-3;
  const double tensor_us = one.flop / limits.tensor_tflop_per_s * 1e-6;
  const double work_us = std::max(read_us, tensor_us);
  return {.limit = limits.empty_kernel_us > work_us ? "launch"
                   : read_us > tensor_us            ? "read"
                                                    : "tensor",
          .us = limits.empty_kernel_us + work_us};
}

// What is printed: a table as it comes, or one JSON object at the end.
class DeviceOpsReport {
 public:
  DeviceOpsReport(const DeviceOpsOptions& options, const DeviceLimits& limits)
      : format_(options.format), limits_(limits) {
    json_ = {{"device", limits.device},
             {"isa", limits.architecture},
             {"numerics", options.backend.numerics == Numerics::kFast ? "fast" : "exact"},
             {"cublas", "not asked"},
             {"limits", MeasuredJson(limits)},
             {"cases", nlohmann::json::array()},
             {"failures", nlohmann::json::array()}};
    if (format_ == DeviceOpsOptions::Format::kJson) return;
    fmt::print("{}", Describe(limits));
    fmt::print("{:13} {:50} {:>11} {:>8} {:>9}  {:>13} {:>10} {:>8}\n", "op", "shape", "median us",
               "GB/s", "GFLOP/s", "of limit", "cuBLAS us", "x cuBLAS");
  }

  void SetCublas(const std::string& about) {
    if (json_["cublas"] == about) return;
    json_["cublas"] = about;
    if (format_ == DeviceOpsOptions::Format::kTable) fmt::print("{}\n", about);
  }
  void Add(const std::string& op, const std::string& shape, const DeviceCase& one,
           const Measured& measured);
  void Fail(const std::string& op, const std::string& shape, const Status& status) {
    json_["failures"].push_back({{"op", op}, {"shape", shape}, {"error", status.message()}});
    fmt::print(stderr, "{} {}: {}\n", op, shape, status.message());
  }
  // The exit code.
  int End() const {
    if (format_ == DeviceOpsOptions::Format::kJson) fmt::print("{}\n", json_.dump(2));
    return json_["failures"].empty() ? 0 : 1;
  }

 private:
  const DeviceOpsOptions::Format format_;
  const DeviceLimits& limits_;
  nlohmann::ordered_json json_;
};

void DeviceOpsReport::Add(const std::string& op, const std::string& shape, const DeviceCase& one,
                          const Measured& measured) {
  const double us = measured.seconds * 1e6;
  const double gb_per_s = one.bytes / measured.seconds * 1e-9;
  const double gflop_per_s = one.flop / measured.seconds * 1e-9;
  const Floor floor = FloorOf(one, limits_);
  if (format_ == DeviceOpsOptions::Format::kTable) {
    const std::string cublas = measured.cublas_seconds
                                   ? fmt::format("{:10.1f} {:8.2f}", *measured.cublas_seconds * 1e6,
                                                 *measured.cublas_seconds / measured.seconds)
                                   : fmt::format("{:>10} {:>8}", "-", "-");
    fmt::print("{:13} {:50} {:11.1f} {:8.1f} {:9.1f}  {:4.0f} % {:6} {}\n", op, shape, us, gb_per_s,
               gflop_per_s, floor.us / us * 100, floor.limit, cublas);
    std::fflush(stdout);
    return;
  }
  nlohmann::ordered_json json = {{"op", op},
                                 {"shape", shape},
                                 {"median_us", us},
                                 {"gb_per_s", gb_per_s},
                                 {"gflop_per_s", gflop_per_s},
                                 {"limit", floor.limit},
                                 {"floor_us", floor.us},
                                 {"fraction_of_limit", floor.us / us}};
  if (measured.cublas_seconds) json["cublas_us"] = *measured.cublas_seconds * 1e6;
  json_["cases"].push_back(std::move(json));
}

std::unique_ptr<Cublas> LoadCublas(Backend& backend, DeviceOpsReport& report) {
  void* const stream = backend.device_queue()->stream_handle();
  if (stream == nullptr) {
    report.SetCublas("cuBLAS: computes on GPUs alone");
    return nullptr;
  }
  auto loaded = Cublas::Load(stream);
  if (!loaded.ok()) {
    report.SetCublas(fmt::format("cuBLAS: not found ({}); launch/setup.sh --cuda fetches it",
                                 loaded.status().message()));
    return nullptr;
  }
  report.SetCublas(fmt::format("cuBLAS {}", (*loaded)->version()));
  return std::move(loaded).value();
}

// `wanted` are indices of the group's cases.
Status RunGroup(const DeviceOpsOptions& options, const DeviceEffort& effort, const std::string& op,
                const DeviceCaseGroup& group, const std::vector<size_t>& wanted,
                DeviceOpsReport& report) {
  // One that holds no more than this group's memory.
  PHALANX_ASSIGN_OR_RETURN(const auto backend, CreateBackend(options.backend));
  const auto cublas = group.comparator == DeviceCaseGroup::Comparator::kCublas
                          ? LoadCublas(*backend, report)
                          : nullptr;
  PHALANX_ASSIGN_OR_RETURN(const std::vector<DeviceCase> cases,
                           group.make({.backend = *backend,
                                       .cublas = cublas.get(),
                                       .rotation_bytes = effort.rotation_bytes,
                                       .cached_bytes = effort.cached_bytes}));
  PHALANX_ASSIGN_OR_RETURN(const auto clock, CreateRunClock(*backend));
  for (const size_t i : wanted) {
    if (const Status status = Check(cases[i]); !status.ok()) {
      report.Fail(op, group.shapes[i], status);
      continue;
    }
    const StatusOr<Measured> measured = Measure(*clock, cases[i], effort);
    if (measured.ok()) {
      report.Add(op, group.shapes[i], cases[i], *measured);
    } else {
      report.Fail(op, group.shapes[i], measured.status());
    }
  }
  return OkStatus();
}

}  // namespace

int RunDeviceOps(const DeviceOpsOptions& options) {
  const StatusOr<DeviceLimits> limits = MeasureDeviceLimits(options.backend);
  if (!limits.ok()) {
    fmt::print(stderr, "{}\n", limits.status().message());
    return limits.status().code() == StatusCode::kInvalidArgument ? 2 : 1;
  }
  const std::string& device = options.backend.device;
  DeviceEffort effort = EffortOn(device);
  effort.rounds = options.rounds.value_or(effort.rounds);
  DeviceOpsReport report(options, *limits);
  for (const std::string& op : DeviceOpNames()) {
    if (options.op != "all" && options.op != op) continue;
    for (const DeviceCaseGroup& group : DeviceGroupsOf(op, device)) {
      std::vector<size_t> wanted;
      for (size_t i = 0; i < group.shapes.size(); ++i) {
        if (group.shapes[i].find(options.filter) != std::string::npos) wanted.push_back(i);
      }
      if (wanted.empty()) continue;
      const Status status = RunGroup(options, effort, op, group, wanted, report);
      if (status.ok()) continue;
      for (const size_t i : wanted) report.Fail(op, group.shapes[i], status);
    }
  }
  return report.End();
}

}  // namespace phalanx
