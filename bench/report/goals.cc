#include "bench/report/goals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"not yet measured", "met", "not met"};
constexpr double kDecodeTokensPerSecond = 240;
constexpr double kLargeReadBytes = 100e6;
constexpr double kLeastOfReadLimit = 0.85;  // of cases that read so much
constexpr double kSmallReadBandwidth = 0.9;
constexpr double kLeastOfCublas = 0.55;
constexpr double kManyRows = 512;

enum GoalIndex : size_t { kDecode, kGemv, kAttention, kLinear, kTests };

struct Verdict {
  GoalState state = GoalState::kNotMeasured;
  std::string found{};
};

Verdict Judge(bool is_met, std::string found) {
  return {is_met ? GoalState::kMet : GoalState::kNotMet, std::move(found)};
}

bool IsUnquantized(const ServiceRow& row) {
  return row.quantization.empty() || row.quantization == "none";
}

Verdict DecodeGoal(const RunData& run) {
  const ServiceRow* best = nullptr;
  for (const ServiceRow& row : run.decode) {
    if (!NamesSize(row.model, "7B") || row.batch != 1.0 || !IsUnquantized(row) ||
        row.device != "cuda" || row.ranks.value_or(1) != 1 || !row.decode_tokens_per_s) {
      continue;
    }
    // The shortest prompt: longer ones read more.
    if (best == nullptr || row.prompt_tokens.value_or(0) < best->prompt_tokens.value_or(0)) {
      best = &row;
    }
  }
  if (best == nullptr) return {};
  return Judge(*best->decode_tokens_per_s >= kDecodeTokensPerSecond,
               fmt::format("{} tokens/s ({}, prompt {})", ShowNumber(best->decode_tokens_per_s),
                           best->model, ShowNumber(best->prompt_tokens)));
}

// What a case is compared with: at least 1 where it is as fast as asked.
using Score = std::function<std::optional<double>(const OpCase&)>;

std::string NameOf(const OpCase& op_case) {
  return fmt::format("{} {}", op_case.op, op_case.shape);
}

struct Scored {
  int num_cases = 0;
  int num_good = 0;
  bool has_small = false;  // 0.5B
  bool has_large = false;  // 7B
  double worst = 0;
  std::string worst_name{};
};

Scored ScoreCases(const Ops& ops, const std::function<bool(const OpCase&)>& is_asked,
                  const Score& score) {
  Scored scored;
  for (const OpCase& op_case : ops.cases) {
    if (!is_asked(op_case)) continue;
    const std::optional<double> value = score(op_case);
    if (!value) continue;
    scored.has_small |= NamesSize(op_case.shape, "0.5B");
    scored.has_large |= NamesSize(op_case.shape, "7B");
    if (scored.num_cases == 0 || *value < scored.worst) {
      scored.worst = *value;
      scored.worst_name = NameOf(op_case);
    }
    ++scored.num_cases;
    scored.num_good += *value >= 1;
  }
  return scored;
}

const WrongOp* FindWrong(const Ops& ops, const std::function<bool(const OpCase&)>& is_asked) {
  const auto wrong = std::ranges::find_if(ops.failures, [&](const WrongOp& one) {
    return is_asked({.op = one.op, .shape = one.shape});
  });
  return wrong == ops.failures.end() ? nullptr : &*wrong;
}

Verdict CasesGoal(const Ops& ops, const std::function<bool(const OpCase&)>& is_asked,
                  const Score& score) {
  if (const WrongOp* wrong = FindWrong(ops, is_asked)) {
    return Judge(false, fmt::format("{} {} is wrong", wrong->op, wrong->shape));
  }
  const Scored scored = ScoreCases(ops, is_asked, score);
  if (scored.num_cases == 0) return {};
  std::string found =
      fmt::format("{} of {} cases; the worst reaches {} of what is asked: {}", scored.num_good,
                  scored.num_cases, ShowPercent(scored.worst), scored.worst_name);
  if (scored.num_good < scored.num_cases) return Judge(false, std::move(found));
  if (!scored.has_small || !scored.has_large) {
    return {.found = found + "; shapes of 0.5B and of 7B are asked"};
  }
  return Judge(true, std::move(found));
}

// Of an op that reads: 85 % of the limit where it reads much, else its allowed time over its time.
std::optional<double> ReadScore(const OpCase& op_case, const Limits& limits) {
  if (!op_case.gb_per_s || limits.read_gb_per_s.value_or(0) <= 0) return std::nullopt;
  const double bytes = *op_case.gb_per_s * op_case.median_us * 1e3;
  if (bytes >= kLargeReadBytes) {
    return *op_case.gb_per_s / (kLeastOfReadLimit * *limits.read_gb_per_s);
  }
  if (!limits.empty_kernel_us) return std::nullopt;
  const double read_us = bytes / (kSmallReadBandwidth * *limits.read_gb_per_s) * 1e-3;
  return (*limits.empty_kernel_us + read_us) / op_case.median_us;
}

bool IsNamedShape(const OpCase& op_case) {
  return NamesSize(op_case.shape, "0.5B") || NamesSize(op_case.shape, "7B");
}

bool IsGemv(const OpCase& op_case) {
  return (op_case.op == "linear" || op_case.op == "gate_up") &&
         ShapeNumber(op_case.shape, "rows") == 1.0 && IsNamedShape(op_case);
}

bool IsDecodeAttention(const OpCase& op_case) {
  return op_case.op == "attention" && ShapeNumber(op_case.shape, "new") == 1.0 &&
         IsNamedShape(op_case);
}

bool IsLargeLinear(const OpCase& op_case) {
  return op_case.op == "linear" && ShapeNumber(op_case.shape, "rows").value_or(0) >= kManyRows;
}

std::optional<double> CublasScore(const OpCase& op_case) {
  if (!op_case.cublas_us) return std::nullopt;
  return *op_case.cublas_us / op_case.median_us / kLeastOfCublas;
}

Verdict TestsGoal(const RunData& run) {
  int num_passed = 0;
  int num_skipped = 0;
  bool has_all = true;
  for (const std::string_view stage : {"kernels", "models", "determinism"}) {
    const TestProgram* program = run.FindProgram(stage);
    int num_run = 0;
    if (program != nullptr) {
      for (const TestCase& test : program->tests) {
        if (test.state == TestState::kFailed) return Judge(false, test.name + " fails");
        (test.state == TestState::kPassed ? num_run : num_skipped) += 1;
      }
    }
    has_all &= num_run > 0;
    num_passed += num_run;
  }
  std::string not_run;
  for (const std::string_view name :
       {"host", "kernels", "models", "determinism", "hf", "sanitizer"}) {
    const Stage* stage = run.FindStage(name);
    const StageState state = stage == nullptr ? StageState::kNotRun : stage->state;
    if (IsFailure(state)) return Judge(false, fmt::format("stage {}: {}", name, Name(state)));
    if (state != StageState::kPassed) not_run += fmt::format("; {}: {}", name, Name(state));
    has_all &= state != StageState::kRunning;
  }
  std::string found =
      fmt::format("{} tests passed, {} skipped{}", num_passed, num_skipped, not_run);
  if (!has_all) return {.found = std::move(found)};
  return Judge(true, std::move(found));
}

// Empty where a run's figures count, else why not.
std::string WhyNotCounted(const RunData& run) {
  if (run.device.empty()) return "no file says which device it was";
  if (run.device != "cuda") return fmt::format("the device was {}", run.device);
  if (run.Fact("device") != "cuda") return "the run's facts do not say device cuda";
  const std::string gpu = run.Fact("gpu");
  if (gpu.find("H200") == std::string::npos) {
    return fmt::format("the GPU was {}", gpu.empty() ? "not named" : gpu);
  }
  return "";
}

}  // namespace

std::string_view Name(GoalState state) { return kNames[static_cast<size_t>(state)]; }

GoalState GoalStateOf(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return GoalState::kNotMeasured;
  return static_cast<GoalState>(found - kNames.begin());
}

std::vector<Goal> AllGoals() {
  const std::string reads =
      "at least 85 % of the read limit where 100 MB or more are read, else at most an empty kernel "
      "+ "
      "bytes / (0.9 x read bandwidth); every shape of 0.5B and 7B";
  return {{.name = "Decode, 7B bf16, batch 1", .target = "at least 240 tokens/s without graphs"},
          {.name = "GEMV", .target = reads},
          {.name = "Decode attention", .target = reads},
          {.name = "Linear, 512 rows and more", .target = "at least 55 % of cuBLAS, every shape"},
          {.name = "Tests", .target = "every one green"}};
}

std::vector<Goal> EvaluateGoals(const RunData& run) {
  std::vector<Goal> goals = AllGoals();
  if (std::string why = WhyNotCounted(run); !why.empty()) {
    for (Goal& goal : goals) goal.found = why;
    return goals;
  }
  const auto set = [&](GoalIndex index, Verdict verdict) {
    goals[index].state = verdict.state;
    goals[index].found = std::move(verdict.found);
  };
  set(kDecode, DecodeGoal(run));
  set(kTests, TestsGoal(run));
  if (!run.ops || run.ops->device != "cuda") return goals;
  Limits limits = run.ops->limits;
  if (!limits.read_gb_per_s) limits.read_gb_per_s = run.limits.read_gb_per_s;
  if (!limits.empty_kernel_us) limits.empty_kernel_us = run.limits.empty_kernel_us;
  const Score read_score = [&](const OpCase& op_case) { return ReadScore(op_case, limits); };
  set(kGemv, CasesGoal(*run.ops, IsGemv, read_score));
  set(kAttention, CasesGoal(*run.ops, IsDecodeAttention, read_score));
  set(kLinear, CasesGoal(*run.ops, IsLargeLinear, CublasScore));
  return goals;
}

}  // namespace phalanx::report
