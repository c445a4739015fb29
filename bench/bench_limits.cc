// What a CUDA device can do at most:
//
//   bench_limits --device cuda [--gpu 1] [--json]
//
// Read and copy bandwidth, the peak of its tensor cores, and what launches cost the host and the
// device (bench/device_limits.h). On an emulated device only that the probe works.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/device_limits.h"

int main(int argc, char** argv) {
  phalanx::BackendOptions options{.device = "cuda"};
  bool json = false;
  CLI::App app("Measures what a CUDA device can do at most.", "bench_limits");
  app.add_option("--device", options.device, "cuda or cuda-emulated")->capture_default_str();
  app.add_option("--gpu", options.gpu.local_rank,
                 "of the host, as CUDA_VISIBLE_DEVICES numbers them")
      ->check(CLI::Range(0, 1023))
      ->capture_default_str();
  app.add_flag("--json", json, "one JSON object instead of text");
  CLI11_PARSE(app, argc, argv);
  phalanx::PrepareEnvironment(options.device);
  const auto limits = phalanx::MeasureDeviceLimits(options);
  if (!limits.ok()) {
    fmt::print(stderr, "{}\n", limits.status().message());
    return limits.status().code() == phalanx::StatusCode::kInvalidArgument ? 2 : 1;
  }
  if (json) {
    fmt::print("{}\n", phalanx::ToJson(*limits).dump());
  } else {
    fmt::print("{}", phalanx::Describe(*limits));
  }
  return 0;
}
