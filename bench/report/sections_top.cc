#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "bench/report/sections.h"
#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr size_t kMaxShownFailures = 20;
constexpr std::string_view kNotMeasured = "not yet measured";

struct Label {
  std::string_view key;
  std::string_view text;
};

constexpr std::array<Label, 17> kFactLabels = {{{"gpu", "GPU"},
                                                {"gpus", "GPUs"},
                                                {"driver", "Driver"},
                                                {"cuda_runtime", "CUDA runtime"},
                                                {"clocks_sm_mhz", "SM clock, MHz"},
                                                {"clocks_mem_mhz", "Memory clock, MHz"},
                                                {"power_limit_w", "Power limit, W"},
                                                {"memory_mib", "GPU memory, MiB"},
                                                {"device", "Device"},
                                                {"commit", "Commit"},
                                                {"version", "Version"},
                                                {"date", "Date"},
                                                {"cpu", "CPU"},
                                                {"cores", "Cores"},
                                                {"host_memory_gib", "Host memory, GiB"},
                                                {"kernel", "Kernel"},
                                                {"numerics", "Numerics"}}};

int CountStages(const RunData& run, StageState state) {
  return static_cast<int>(std::ranges::count(run.stages, state, &Stage::state));
}

std::string NamesOf(const RunData& run, StageState state) {
  std::vector<std::string> names;
  for (const Stage& stage : run.stages) {
    if (stage.state == state) names.push_back(stage.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Alert VerdictOf(const RunData& run, const Summary& summary) {
  std::string text;
  double seconds = 0;
  for (const Stage& stage : run.stages) seconds += stage.seconds.value_or(0);
  for (const StageState state : {StageState::kPassed, StageState::kFailed, StageState::kTimeout,
                                 StageState::kSkipped, StageState::kRunning, StageState::kNotRun}) {
    const int count = CountStages(run, state);
    if (count == 0 && state != StageState::kPassed) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count,
                        state == StageState::kRunning   ? "interrupted"
                        : state == StageState::kTimeout ? "timed out"
                                                        : Name(state));
    if (state != StageState::kPassed) text += fmt::format(" ({})", NamesOf(run, state));
  }
  text = fmt::format("stages: {}; {} s in all", text, ShowNumber(seconds));
  const auto num_failing = std::ranges::count_if(
      summary.tests, [](const NamedTest& one) { return one.test.state == TestState::kFailed; });
  if (num_failing > 0) text += fmt::format("; {} failing tests", num_failing);
  if (HasFailed(summary)) return {Tone::kBad, "FAILED: " + text};
  if (CountStages(run, StageState::kRunning) > 0) return {Tone::kWarn, "INTERRUPTED: " + text};
  if (summary.figures.empty() && summary.tests.empty()) {
    return {Tone::kWarn, "NOTHING MEASURED: " + text};
  }
  if (CountStages(run, StageState::kPassed) == 0) return {Tone::kWarn, "NOTHING PASSED: " + text};
  return {Tone::kGood, "PASSED: " + text};
}

// Failing tests first: they say more than the stage that they fail.
void AddFailures(const RunData& run, const Summary& summary, Blocks& out) {
  size_t num_failing = 0;
  for (const auto& [program, test] : summary.tests) {
    if (test.state != TestState::kFailed || ++num_failing > kMaxShownFailures) continue;
    out.emplace_back(
        Alert{Tone::kBad, fmt::format("{}: {} fails", program, test.name), test.message});
  }
  if (num_failing > kMaxShownFailures) {
    out.emplace_back(Alert{Tone::kBad, fmt::format("{} more failing tests are listed below",
                                                   num_failing - kMaxShownFailures)});
  }
  for (const Stage& stage : run.stages) {
    if (!IsFailure(stage.state)) continue;
    out.emplace_back(
        Alert{Tone::kBad,
              fmt::format("Stage {} {}: {}", stage.name,
                          stage.state == StageState::kTimeout ? "timed out" : "failed",
                          stage.reason.empty() ? "no reason is recorded" : stage.reason),
              stage.log_end});
  }
}

void AddCommands(const RunData& run, Blocks& out) {
  std::string text;
  for (const Stage& stage : run.stages) {
    for (const std::string& command : stage.commands) {
      text += fmt::format("{}: {}\n", stage.name, command);
    }
  }
  if (!text.empty()) out.emplace_back(Code{std::move(text), "Command lines"});
}

std::string Words(std::optional<double> value, std::string_view format) {
  return value && *value > 0 ? fmt::format(fmt::runtime(format), ShowNumber(value)) : "";
}

std::optional<double> Over(double dividend, std::optional<double> divisor) {
  return divisor && *divisor > 0 ? std::optional(dividend / *divisor) : std::nullopt;
}

}  // namespace

Cell StateCell(StageState state) {
  const Tone tone = state == StageState::kPassed    ? Tone::kGood
                    : IsFailure(state)              ? Tone::kBad
                    : state == StageState::kRunning ? Tone::kWarn
                                                    : Tone::kMuted;
  return {std::string(Name(state)), tone};
}

Pairs NamedFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  Pairs named;
  for (const Label& label : kFactLabels) {
    for (const auto& [key, value] : facts) {
      if (key == label.key) named.items.emplace_back(label.text, value);
    }
  }
  for (const auto& [key, value] : facts) {
    if (std::ranges::find(kFactLabels, key, &Label::key) == kFactLabels.end()) {
      named.items.emplace_back(key, value);
    }
  }
  return named;
}

void AddVerdict(const RunData& run, const Summary& summary, Blocks& out) {
  if (run.IsEmulated()) {
    out.emplace_back(
        Alert{Tone::kWarn,
              "Times mean nothing here: toy sizes on an emulated device. What counts is "
              "whether stages and tests pass."});
  }
  out.emplace_back(VerdictOf(run, summary));
  AddFailures(run, summary, out);
  if (!run.notes.empty()) {
    out.emplace_back(Alert{Tone::kWarn, "Not everything of this run could be read:"});
    out.emplace_back(List{run.notes});
  }
  if (run.facts.empty()) {
    AddStageState(run, "facts", Figures::kAbsent, out);
  } else {
    out.emplace_back(NamedFacts(run.facts));
  }
  AddCommands(run, out);
}

void AddStageState(const RunData& run, std::string_view name, Figures figures, Blocks& out) {
  const Stage* stage = run.FindStage(name);
  const StageState state = stage == nullptr ? StageState::kNotRun : stage->state;
  if (figures == Figures::kPresent &&
      (state == StageState::kPassed || state == StageState::kNotRun)) {
    return;
  }
  const std::string reason =
      stage == nullptr || stage->reason.empty() ? "" : fmt::format(": {}", stage->reason);
  switch (state) {
    case StageState::kPassed:
      out.emplace_back(
          Paragraph{fmt::format("{}: not yet measured: the stage passed and left no figures", name),
                    Tone::kWarn});
      break;
    case StageState::kNotRun:
      out.emplace_back(Paragraph{fmt::format("{}: not yet measured: the stage did not run", name),
                                 Tone::kMuted});
      break;
    case StageState::kSkipped:
      out.emplace_back(Paragraph{fmt::format("{}: skipped{}", name, reason), Tone::kMuted});
      break;
    case StageState::kRunning:
      out.emplace_back(
          Paragraph{fmt::format("{}: interrupted before its end{}", name, reason), Tone::kWarn});
      break;
    default:
      out.emplace_back(Paragraph{fmt::format("{}: {}{}", name, Name(state), reason), Tone::kBad});
  }
}

void AddLimits(const RunData& run, Blocks& out) {
  const Limits& limits = run.limits;
  out.emplace_back(Heading{"Limits of this machine"});
  const bool has_any = limits.read_gb_per_s || limits.tensor_tflop_per_s || limits.launch_us ||
                       limits.empty_kernel_us || limits.copy_gb_per_s || limits.graph_node_us;
  AddStageState(run, "limits", has_any ? Figures::kPresent : Figures::kAbsent, out);
  Table table{.columns = {{"Limit", Align::kLeft},
                          {"Measured"},
                          {"", Align::kLeft},
                          {"In other words", Align::kLeft}},
              .rows = {}};
  const auto add = [&](const char* name, std::optional<double> value, const char* unit,
                       std::string words) {
    const Cell figure =
        value ? Cell{ShowNumber(value)} : Cell{std::string(kNotMeasured), Tone::kMuted};
    table.rows.push_back({{name}, figure, {value ? unit : ""}, {std::move(words)}});
  };
  const auto& read = limits.read_gb_per_s;
  add("read", read, "GB/s", Words(Over(1e6, read), "1 GB in {} µs"));
  add("copy (read + written)", limits.copy_gb_per_s, "GB/s",
      Words(Over(2e6, limits.copy_gb_per_s), "1 GB copied in {} µs"));
  const auto balance =
      read ? Over(limits.tensor_tflop_per_s.value_or(0) * 1e3, read) : std::nullopt;
  add("mma.sync peak, bf16", limits.tensor_tflop_per_s, "TFLOP/s",
      Words(balance, "{} FLOP for each byte read"));
  add("launch", limits.launch_us, "µs", Words(Over(1e6, limits.launch_us), "{} launches a second"));
  add("empty kernel", limits.empty_kernel_us, "µs",
      Words(Over(1e6, limits.empty_kernel_us), "{} kernels a second"));
  add("graph node", limits.graph_node_us, "µs",
      Words(Over(1e6, limits.graph_node_us), "{} nodes a second"));
  out.emplace_back(std::move(table));
}

Table GoalsTable(const std::vector<Goal>& goals) {
  Table table{.columns = {{"Goal", Align::kLeft},
                          {"", Align::kLeft},
                          {"Asked", Align::kLeft},
                          {"Found", Align::kLeft}},
              .rows = {}};
  for (const Goal& goal : goals) {
    const Tone tone = goal.state == GoalState::kMet      ? Tone::kGood
                      : goal.state == GoalState::kNotMet ? Tone::kBad
                                                         : Tone::kMuted;
    table.rows.push_back({{goal.name},
                          {std::string(Name(goal.state)), tone},
                          {goal.target},
                          {goal.found.empty() ? "-" : goal.found}});
  }
  return table;
}

void AddGoals(const Summary& summary, Blocks& out) {
  out.emplace_back(Heading{"Goals on one H200"});
  out.emplace_back(GoalsTable(summary.goals));
}

Document MakeDocument(const RunData& run, const Summary& summary) {
  const std::string gpu = run.Fact("gpu");
  const std::string date = run.Fact("date");
  Document document{.title = fmt::format("GPU check: {}{}", gpu.empty() ? run.name : gpu,
                                         date.empty() ? "" : ", " + date),
                    .blocks = {}};
  Blocks& out = document.blocks;
  AddVerdict(run, summary, out);
  AddLimits(run, out);
  AddGoals(summary, out);
  AddCorrectness(run, out);
  AddOps(run, out);
  AddService(run, out);
  AddLoad(run, out);
  AddScaling(run, out);
  AddProfile(run, out);
  AddStages(run, out);
  return document;
}

}  // namespace phalanx::report
