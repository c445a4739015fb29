// What one run of launch/gpu-check.sh measured, as its files tell it. Nothing is derived here, and
// what a file does not say is absent.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace phalanx::report {

enum class StageState { kPassed, kFailed, kSkipped, kTimeout, kRunning, kNotRun };

// "passed" and so on; kRunning: its record has no end; kNotRun: it has no record.
std::string_view Name(StageState state);
// Of a name; kRunning for any other.
StageState StageStateOf(std::string_view name);
inline bool IsFailure(StageState state) {
  return state == StageState::kFailed || state == StageState::kTimeout;
}

struct Stage {
  std::string name;
  StageState state = StageState::kNotRun;
  std::optional<double> seconds{};
  std::string reason{};  // of a skip or failure
  std::vector<std::string> commands{};
  std::string log_end{};  // its last lines, of a failure
};

struct Limits {
  std::optional<double> read_gb_per_s{};
  std::optional<double> copy_gb_per_s{};  // read + written
  std::optional<double> tensor_tflop_per_s{};
  std::optional<double> launch_us{};
  std::optional<double> empty_kernel_us{};
  std::optional<double> graph_node_us{};
};

enum class TestState { kPassed, kFailed, kSkipped };

std::string_view Name(TestState state);

struct TestCase {
  std::string name;  // Suite.Name
  TestState state = TestState::kPassed;
  std::string message{};  // the first of a failure or skip
};

// Of one test program.
struct TestProgram {
  std::string stage;
  std::vector<TestCase> tests{};
};

struct OpCase {
  std::string op;
  std::string shape;
  double median_us = 0;
  std::string limit{};  // read, tensor, launch
  std::optional<double> floor_us{};
  std::optional<double> fraction_of_limit{};
  std::optional<double> gb_per_s{};
  std::optional<double> gflop_per_s{};
  std::optional<double> cublas_us{};
};

struct WrongOp {
  std::string op;
  std::string shape;
  std::string error;
};

struct Ops {
  std::string device{};
  std::string isa{};
  std::string numerics{};
  std::string cublas{};  // its version, or why there is none
  Limits limits{};
  std::vector<OpCase> cases{};
  std::vector<WrongOp> failures{};
};

// One run of the whole engine.
struct ServiceRow {
  std::string model;  // last part of its path
  std::string device{};
  std::string numerics{};
  std::string quantization{};
  std::string error{};  // why there are no figures
  std::optional<double> ranks{};
  std::optional<double> batch{};
  std::optional<double> prompt_tokens{};
  std::optional<double> decode_tokens_per_s{};
  std::optional<double> decode_step_ms{};
  std::optional<double> fraction_of_read_limit{};
  std::optional<double> all_reduce_share{};
  std::optional<double> prefill_tokens_per_s{};
  std::optional<double> fraction_of_tensor_peak{};
  std::optional<double> peak_device_memory_mb{};
  std::optional<double> first_token_s{};
};

struct AllReduceRow {
  double ranks = 0;
  double bytes = 0;
  std::string sums{};  // nccl, ordered, host
  std::optional<double> median_us{};
  std::optional<double> bus_gb_per_s{};
};

struct RunData {
  std::string name;    // of its folder
  std::string device;  // cuda, cuda-emulated; empty where no file says it
  std::vector<Stage> stages;
  std::vector<std::pair<std::string, std::string>> facts;
  Limits limits;
  std::vector<TestProgram> programs;
  std::optional<Ops> ops;
  std::vector<ServiceRow> decode, prefill, scaling;
  std::vector<AllReduceRow> all_reduce;
  std::vector<std::pair<std::string, std::string>> load_texts;
  std::vector<std::pair<std::string, double>> load_figures;
  std::string profile;
  std::vector<std::string> notes;  // what could not be read

  // Empty where there is no such fact.
  std::string Fact(std::string_view key) const;
  // Null where the name is unknown.
  const Stage* FindStage(std::string_view name) const;
  const TestProgram* FindProgram(std::string_view stage) const;
  bool IsEmulated() const { return device == "cuda-emulated"; }
};

}  // namespace phalanx::report
