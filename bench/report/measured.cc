#include "bench/report/measured.h"

#include <fmt/format.h>

#include <array>

#include "bench/report/document.h"
#include "bench/report/figures.h"
#include "bench/report/sections.h"
#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr const char* kNotMeasured = "not yet measured";

struct Section {
  std::string_view name;
  std::string_view stage;
  std::string_view about;
};

constexpr std::array<Section, 6> kSections = {
    {{kLimitsSection, "limits",
      "What this GPU can do at most, measured in the same run as everything else."},
     {kOpsSection, "ops",
      "Each kernel on shapes of Qwen2.5-0.5B and 7B: its time, the share of its limit, cuBLAS's "
      "time "
      "over ours."},
     {kDecodeSection, "decode", "The whole engine, one token a step."},
     {kPrefillSection, "prefill", "The whole engine, prompts of several lengths."},
     {kLoadSection, "load", "From the start of the process to the first token."},
     {kScalingSection, "scaling", "Several GPUs of one host."}}};

// Why a section has no figures.
std::string WhyNot(const std::optional<Summary>& run, std::string_view stage_name) {
  if (!run) return kNotMeasured;
  for (const Stage& stage : run->stages) {
    if (stage.name != stage_name || stage.state == StageState::kPassed ||
        stage.state == StageState::kNotRun) {
      continue;
    }
    return fmt::format("{} ({}{}{})", kNotMeasured, Name(stage.state),
                       stage.reason.empty() ? "" : ": ", stage.reason);
  }
  return kNotMeasured;
}

void AddSection(const std::optional<Summary>& run, const Section& section, Blocks& out) {
  out.emplace_back(Heading{std::string(section.name)});
  out.emplace_back(Paragraph{std::string(section.about)});
  Table table{.columns = {{"Figure", Align::kLeft}, {"Value"}, {"Unit", Align::kLeft}}, .rows = {}};
  if (run) {
    for (const Figure& figure : run->figures) {
      if (figure.section != section.name) continue;
      const bool is_fraction = figure.unit.empty();
      table.rows.push_back(
          {{figure.name}, {ShowNumber(figure.value)}, {is_fraction ? "" : figure.unit}});
    }
  }
  if (table.rows.empty()) {
    out.emplace_back(Paragraph{WhyNot(run, section.stage)});
  } else {
    out.emplace_back(std::move(table));
  }
}

void AddChecks(const std::optional<Summary>& run, Blocks& out) {
  out.emplace_back(Heading{"Checks"});
  if (!run) {
    out.emplace_back(Paragraph{kNotMeasured});
    return;
  }
  Table table{.columns = {{"Stage", Align::kLeft},
                          {"State", Align::kLeft},
                          {"Seconds"},
                          {"Reason", Align::kLeft}},
              .rows = {}};
  for (const Stage& stage : run->stages) {
    table.rows.push_back(
        {{stage.name}, StateCell(stage.state), {ShowNumber(stage.seconds)}, {stage.reason}});
  }
  out.emplace_back(std::move(table));
}

}  // namespace

std::string MeasuredPage(const std::optional<Summary>& given) {
  // Times on an emulated device are no measurements.
  const bool counts = given && given->device == "cuda";
  const std::optional<Summary> run = counts ? given : std::nullopt;
  Document document{.title = "Measured on a GPU", .blocks = {}};
  Blocks& out = document.blocks;
  out.emplace_back(
      Paragraph{"Every figure here comes from one run of launch/gpu-check.sh; gpu_report wrote "
                "this page from "
                "its files, and nobody edits it. On the machine with the GPU:"});
  out.emplace_back(
      Code{"launch/gpu-check.sh\n"
           "bin/gpu_report --run bench/results/RUN --measured docs/measured.md\n"});
  if (run) {
    out.emplace_back(Paragraph{fmt::format("Made from bench/results/{}/report.json.", run->run)});
    out.emplace_back(NamedFacts(run->facts));
  } else {
    out.emplace_back(Paragraph{
        given ? fmt::format("The run {} was on the device {}: {} on a GPU.", given->run,
                            given->device.empty() ? "not said" : given->device, kNotMeasured)
              : fmt::format("No run: all of it is {}.", kNotMeasured)});
  }
  out.emplace_back(Heading{"Goals on one H200"});
  out.emplace_back(GoalsTable(run ? run->goals : AllGoals()));
  for (const Section& section : kSections) AddSection(run, section, out);
  AddChecks(run, out);
  return RenderMarkdown(document);
}

}  // namespace phalanx::report
