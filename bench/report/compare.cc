#include "bench/report/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr size_t kMaxListed = 50;

struct Change {
  const Figure* before = nullptr;
  const Figure* after = nullptr;
  double size = 0;  // |log(after / before)|
};

std::string NameOf(const Figure& figure) {
  std::string name = figure.section + ", " + figure.name;
  if (!figure.unit.empty()) name += ", " + figure.unit;
  return name;
}

std::map<std::string, const Figure*> ByName(const Summary& summary) {
  std::map<std::string, const Figure*> figures;
  for (const Figure& figure : summary.figures) figures.emplace(NameOf(figure), &figure);
  return figures;
}

double SizeOf(double before, double after) {
  if (before == after) return 0;
  if (before <= 0 || after <= 0) return std::numeric_limits<double>::infinity();
  return std::abs(std::log(after / before));
}

std::string DirectionOf(const Change& change) {
  static const std::set<std::string, std::less<>> kTimesAndRates = {"us",   "ms",      "s",
                                                                    "GB/s", "TFLOP/s", "tokens/s"};
  const bool is_better =
      (change.after->value > change.before->value) == (change.after->better == Better::kHigher);
  if (kTimesAndRates.contains(change.after->unit)) return is_better ? "faster" : "slower";
  return is_better ? "better" : "worse";
}

void ListNames(std::string_view title, const std::vector<std::string>& names, std::string& text) {
  if (names.empty()) return;
  text += fmt::format("{} ({}):\n", title, names.size());
  for (size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
    text += fmt::format("  {}\n", names[i]);
  }
  if (names.size() > kMaxListed) text += fmt::format("  and {} more\n", names.size() - kMaxListed);
}

void CompareMachines(const Summary& before, const Summary& after, std::string& text) {
  const auto say = [&](std::string_view what, const std::string& a, const std::string& b) {
    if (a == b) return;
    text += fmt::format("not the same: {} was {} and is {}\n", what, a.empty() ? "not said" : a,
                        b.empty() ? "not said" : b);
  };
  for (const std::string_view fact : {"gpu", "gpus", "driver"}) {
    say(fact, before.Fact(fact), after.Fact(fact));
  }
  say("device", before.device, after.device);
  for (const std::string_view fact :
       {"clocks_sm_mhz", "clocks_mem_mhz", "power_limit_w", "commit"}) {
    say(fact, before.Fact(fact), after.Fact(fact));
  }
}

std::string Because(const std::string& reason) { return reason.empty() ? "" : ": " + reason; }

void CompareStages(const Summary& before, const Summary& after, Comparison& result) {
  for (const Stage& stage : after.stages) {
    const auto was = std::ranges::find(before.stages, stage.name, &Stage::name);
    if (was == before.stages.end()) continue;
    if (was->state == StageState::kPassed && IsFailure(stage.state)) {
      ++result.num_broken;
      result.text += fmt::format("fails now: stage {}{}\n", stage.name, Because(stage.reason));
    } else if (IsFailure(was->state) && stage.state == StageState::kPassed) {
      result.text += fmt::format("passes now: stage {}\n", stage.name);
    } else if (was->state != stage.state) {
      result.text += fmt::format("not the same: stage {} was {} and is {}\n", stage.name,
                                 Name(was->state), Name(stage.state));
    }
  }
}

void CompareTests(const Summary& before, const Summary& after, Comparison& result) {
  std::map<std::pair<std::string, std::string>, TestState> states;
  for (const auto& [program, test] : before.tests) states[{program, test.name}] = test.state;
  for (const auto& [program, test] : after.tests) {
    const auto was = states.find({program, test.name});
    if (was == states.end()) continue;
    if (was->second == TestState::kPassed && test.state == TestState::kFailed) {
      ++result.num_broken;
      result.text += fmt::format("fails now: {} {}{}\n", program, test.name,
                                 Because(CleanText(test.message, kMaxNameChars)));
    } else if (was->second == TestState::kFailed && test.state == TestState::kPassed) {
      result.text += fmt::format("passes now: {} {}\n", program, test.name);
    }
  }
}

void CompareGoals(const Summary& before, const Summary& after, std::string& text) {
  for (const Goal& goal : after.goals) {
    const auto was = std::ranges::find(before.goals, goal.name, &Goal::name);
    if (was == before.goals.end() || was->state == goal.state) continue;
    text +=
        fmt::format("goal {}: was {} and is {}\n", goal.name, Name(was->state), Name(goal.state));
  }
}

void CompareFigures(const Summary& before, const Summary& after, double threshold,
                    std::string& text) {
  const auto old_figures = ByName(before);
  const auto new_figures = ByName(after);
  std::vector<Change> moved;
  std::vector<std::string> only_old, only_new;
  size_t num_still = 0;
  size_t width = 6;
  for (const auto& [name, figure] : old_figures) {
    const auto found = new_figures.find(name);
    if (found == new_figures.end()) {
      only_old.push_back(name);
      continue;
    }
    const Change change{figure, found->second, SizeOf(figure->value, found->second->value)};
    if (change.size <= std::log1p(threshold)) {
      ++num_still;
      continue;
    }
    moved.push_back(change);
    width = std::max(width, name.size());
  }
  for (const auto& [name, figure] : new_figures) {
    if (!old_figures.contains(name)) only_new.push_back(name);
  }
  std::ranges::stable_sort(moved, std::greater(), &Change::size);
  if (!moved.empty()) {
    text += fmt::format("{:<{}} {:>10} {:>10} {:>8}\n", "figure", width, "old", "new", "ratio");
  }
  for (const Change& change : moved) {
    const double a = change.before->value;
    const double b = change.after->value;
    text +=
        fmt::format("{:<{}} {:>10} {:>10} {:>8} {}\n", NameOf(*change.before), width, ShowNumber(a),
                    ShowNumber(b), a > 0 ? fmt::format("{:.3f}", b / a) : "-", DirectionOf(change));
  }
  text += fmt::format("{} figures moved by more than {:.4g} %, {} by no more\n", moved.size(),
                      threshold * 100, num_still);
  ListNames("only in the old run", only_old, text);
  ListNames("only in the new run", only_new, text);
}

}  // namespace

Comparison Compare(const Summary& before, const Summary& after, double threshold) {
  Comparison result{.text = fmt::format("old: {}\nnew: {}\n", before.run, after.run)};
  CompareMachines(before, after, result.text);
  CompareStages(before, after, result);
  CompareTests(before, after, result);
  CompareGoals(before, after, result.text);
  CompareFigures(before, after, threshold, result.text);
  return result;
}

}  // namespace phalanx::report
