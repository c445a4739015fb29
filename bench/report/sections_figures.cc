#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bench/report/sections.h"
#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr size_t kWorstCases = 10;

double LostUs(const OpCase& op_case) {
  return op_case.floor_us ? op_case.median_us - *op_case.floor_us : 0;
}

Table OpsTable() {
  return {.columns = {{"Op", Align::kLeft},
                      {"Shape", Align::kLeft},
                      {"Median, µs"},
                      {"Floor, µs"},
                      {"Lost, µs"},
                      {"Of limit"},
                      {"Limit", Align::kLeft},
                      {"GB/s"},
                      {"GFLOP/s"},
                      {"× cuBLAS"}},
          .rows = {}};
}

void AddRow(const OpCase& one, Table& table) {
  const auto lost = one.floor_us ? std::optional(LostUs(one)) : std::nullopt;
  const auto ratio = one.cublas_us ? std::optional(*one.cublas_us / one.median_us) : std::nullopt;
  table.rows.push_back({{one.op},
                        {one.shape},
                        {ShowNumber(one.median_us)},
                        {ShowNumber(one.floor_us)},
                        {ShowNumber(lost)},
                        {ShowPercent(one.fraction_of_limit)},
                        {one.limit},
                        {ShowNumber(one.gb_per_s)},
                        {ShowNumber(one.gflop_per_s)},
                        {ShowNumber(ratio)}});
}

// Each op's median case, and the spread of the others.
void AddFractions(const Ops& ops, Blocks& out) {
  std::map<std::string, std::vector<double>> fractions;
  for (const OpCase& one : ops.cases) {
    if (one.fraction_of_limit) fractions[one.op].push_back(*one.fraction_of_limit);
  }
  if (fractions.empty()) return;
  BarPlot plot{.title = "Fraction of the limit by op: the median case, least to greatest",
               .bars = {}};
  Table table{
      .columns = {{"Op", Align::kLeft}, {"Cases"}, {"Least of limit"}, {"Median"}, {"Greatest"}},
      .rows = {},
      .fold = "Fractions by op"};
  for (auto& [op, values] : fractions) {
    std::ranges::sort(values);
    const double median = values[values.size() / 2];
    plot.bars.push_back({.label = op,
                         .value = median,
                         .least = values.front(),
                         .greatest = values.back(),
                         .text = ShowPercent(median)});
    table.rows.push_back({{op},
                          {fmt::format("{}", values.size())},
                          {ShowPercent(values.front())},
                          {ShowPercent(median)},
                          {ShowPercent(values.back())}});
  }
  out.emplace_back(Plots{{std::move(plot)}});
  out.emplace_back(std::move(table));
}

std::string ModelName(const ServiceRow& row) {
  std::string name = row.model.empty() ? "unnamed" : row.model;
  if (!row.quantization.empty() && row.quantization != "none") name += " " + row.quantization;
  if (!row.numerics.empty()) name += ", " + row.numerics;
  return name;
}

Cell ErrorCell(const ServiceRow& row) { return {row.error, Tone::kBad}; }

using Value = std::optional<double> ServiceRow::*;

// A line a model and number of ranks.
LinePlot PlotRows(std::string title, std::string x_title, const std::vector<ServiceRow>& rows,
                  Value x, Value y) {
  LinePlot plot{.title = std::move(title), .x_title = std::move(x_title), .series = {}};
  for (const ServiceRow& row : rows) {
    if (!(row.*x) || !(row.*y) || *(row.*x) <= 0) continue;
    std::string name = ModelName(row);
    // Against the batch, runs of another prompt are another line.
    if (x != &ServiceRow::prompt_tokens && row.prompt_tokens) {
      name += fmt::format(", prompt {}", ShowNumber(row.prompt_tokens));
    } else if (x == &ServiceRow::prompt_tokens && row.batch.value_or(1) != 1) {
      name += fmt::format(", batch {}", ShowNumber(row.batch));
    }
    auto found = std::ranges::find(plot.series, name, &Series::name);
    if (found == plot.series.end()) {
      found = plot.series.insert(plot.series.end(), Series{.name = name, .points = {}});
    }
    found->points.emplace_back(*(row.*x), *(row.*y));
  }
  for (Series& series : plot.series) std::ranges::sort(series.points);
  return plot;
}

void AddDecode(const RunData& run, Blocks& out) {
  AddStageState(run, "decode", run.decode.empty() ? Figures::kAbsent : Figures::kPresent, out);
  if (run.decode.empty()) return;
  Table table{.columns = {{"Decode", Align::kLeft},
                          {"Batch"},
                          {"Prompt"},
                          {"Tokens/s"},
                          {"Step, ms"},
                          {"Of read limit"},
                          {"All-reduce"},
                          {"Peak memory, MB"},
                          {"", Align::kLeft}},
              .rows = {}};
  for (const ServiceRow& row : run.decode) {
    table.rows.push_back({{ModelName(row)},
                          {ShowNumber(row.batch)},
                          {ShowNumber(row.prompt_tokens)},
                          {ShowNumber(row.decode_tokens_per_s)},
                          {ShowNumber(row.decode_step_ms)},
                          {ShowPercent(row.fraction_of_read_limit)},
                          {ShowPercent(row.all_reduce_share)},
                          {ShowNumber(row.peak_device_memory_mb)},
                          ErrorCell(row)});
  }
  out.emplace_back(std::move(table));
}

void AddPrefill(const RunData& run, Blocks& out) {
  AddStageState(run, "prefill", run.prefill.empty() ? Figures::kAbsent : Figures::kPresent, out);
  if (run.prefill.empty()) return;
  Table table{.columns = {{"Prefill", Align::kLeft},
                          {"Length"},
                          {"Batch"},
                          {"Tokens/s"},
                          {"Of tensor peak"},
                          {"Peak memory, MB"},
                          {"", Align::kLeft}},
              .rows = {}};
  for (const ServiceRow& row : run.prefill) {
    table.rows.push_back({{ModelName(row)},
                          {ShowNumber(row.prompt_tokens)},
                          {ShowNumber(row.batch)},
                          {ShowNumber(row.prefill_tokens_per_s)},
                          {ShowPercent(row.fraction_of_tensor_peak)},
                          {ShowNumber(row.peak_device_memory_mb)},
                          ErrorCell(row)});
  }
  out.emplace_back(std::move(table));
}

// Tokens a second over those of one rank, a rank; of the same model, batch and prompt.
std::optional<double> Efficiency(const ServiceRow& row, const std::vector<ServiceRow>& rows) {
  for (const ServiceRow& one : rows) {
    const bool is_base = one.ranks == 1.0 && ModelName(one) == ModelName(row) &&
                         one.batch == row.batch && one.prompt_tokens == row.prompt_tokens;
    if (!is_base || one.decode_tokens_per_s.value_or(0) <= 0) continue;
    if (!row.decode_tokens_per_s || row.ranks.value_or(0) <= 0) return std::nullopt;
    return *row.decode_tokens_per_s / *one.decode_tokens_per_s / *row.ranks;
  }
  return std::nullopt;
}

void AddRankTable(const RunData& run, Blocks& out) {
  Table table{.columns = {{"Scaling", Align::kLeft},
                          {"Ranks"},
                          {"Batch"},
                          {"Tokens/s"},
                          {"Efficiency"},
                          {"All-reduce"},
                          {"", Align::kLeft}},
              .rows = {}};
  for (const ServiceRow& row : run.scaling) {
    table.rows.push_back({{ModelName(row)},
                          {ShowNumber(row.ranks)},
                          {ShowNumber(row.batch)},
                          {ShowNumber(row.decode_tokens_per_s)},
                          {ShowPercent(Efficiency(row, run.scaling))},
                          {ShowPercent(row.all_reduce_share)},
                          ErrorCell(row)});
  }
  if (!table.rows.empty()) out.emplace_back(std::move(table));
}

void AddAllReduce(const RunData& run, Blocks& out) {
  if (run.all_reduce.empty()) return;
  LinePlot plot{.title = "All-reduce: time in µs by size",
                .x_title = "bytes",
                .x_unit = Unit::kBytes,
                .y_scale = Scale::kLog,
                .series = {}};
  Table table{
      .columns = {{"All-reduce", Align::kLeft}, {"Ranks"}, {"Size"}, {"Median, µs"}, {"Bus, GB/s"}},
      .rows = {}};
  for (const AllReduceRow& row : run.all_reduce) {
    table.rows.push_back({{row.sums},
                          {ShowNumber(row.ranks)},
                          {ShowBytes(row.bytes)},
                          {ShowNumber(row.median_us)},
                          {ShowNumber(row.bus_gb_per_s)}});
    if (row.median_us.value_or(0) <= 0 || row.bytes <= 0) continue;
    const std::string name = fmt::format("{}, {} ranks", row.sums, ShowNumber(row.ranks));
    auto found = std::ranges::find(plot.series, name, &Series::name);
    if (found == plot.series.end()) {
      found = plot.series.insert(plot.series.end(), Series{.name = name, .points = {}});
    }
    found->points.emplace_back(row.bytes, *row.median_us);
  }
  for (Series& series : plot.series) std::ranges::sort(series.points);
  out.emplace_back(Plots{{std::move(plot)}});
  out.emplace_back(std::move(table));
}

}  // namespace

void AddOps(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Ops"});
  const bool has_cases = run.ops && !run.ops->cases.empty();
  AddStageState(run, "ops", has_cases ? Figures::kPresent : Figures::kAbsent, out);
  if (!has_cases) return;
  const Ops& ops = *run.ops;
  out.emplace_back(Paragraph{fmt::format(
      "{}{}; {} cases. Floor: an empty kernel + the time that the limit allows. × cuBLAS above 1: "
      "ours is faster. cuBLAS: {}.",
      ops.isa.empty() ? ops.device : ops.isa,
      ops.numerics.empty() ? "" : ", numerics " + ops.numerics, ops.cases.size(),
      ops.cublas.empty() ? "not named" : ops.cublas)});
  std::vector<const OpCase*> by_loss;
  for (const OpCase& one : ops.cases) {
    if (LostUs(one) > 0) by_loss.push_back(&one);
  }
  std::ranges::stable_sort(by_loss, std::greater(), [](const OpCase* one) { return LostUs(*one); });
  if (by_loss.size() > kWorstCases) by_loss.resize(kWorstCases);
  if (!by_loss.empty()) {
    out.emplace_back(Paragraph{"Where most time is lost in one run:"});
    Table worst = OpsTable();
    for (const OpCase* one : by_loss) AddRow(*one, worst);
    out.emplace_back(std::move(worst));
  }
  AddFractions(ops, out);
  Table all = OpsTable();
  all.fold = fmt::format("All {} cases", ops.cases.size());
  for (const OpCase& one : ops.cases) AddRow(one, all);
  out.emplace_back(std::move(all));
}

void AddService(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Service"});
  AddDecode(run, out);
  AddPrefill(run, out);
  Plots plots;
  for (LinePlot plot : {PlotRows("Decode: tokens/s by batch", "batch", run.decode,
                                 &ServiceRow::batch, &ServiceRow::decode_tokens_per_s),
                        PlotRows("Prefill: tokens/s by length", "tokens of the prompt", run.prefill,
                                 &ServiceRow::prompt_tokens, &ServiceRow::prefill_tokens_per_s)}) {
    if (!plot.series.empty()) plots.plots.emplace_back(std::move(plot));
  }
  if (!plots.plots.empty()) out.emplace_back(std::move(plots));
}

void AddLoad(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Load"});
  const bool has_any = !run.load_figures.empty();
  AddStageState(run, "load", has_any ? Figures::kPresent : Figures::kAbsent, out);
  if (!has_any) return;
  Table table{.columns = {{"Load", Align::kLeft}, {""}, {"", Align::kLeft}}, .rows = {}};
  for (const auto& [name, text] : run.load_texts) table.rows.push_back({{name}, {text}, {""}});
  for (const auto& [name, value] : run.load_figures) {
    if (name.ends_with("_bytes")) {
      table.rows.push_back({{name.substr(0, name.size() - 6)}, {ShowBytes(value)}, {""}});
    } else if (name.ends_with("_s")) {
      table.rows.push_back({{name.substr(0, name.size() - 2)}, {ShowNumber(value)}, {"s"}});
    } else {
      table.rows.push_back({{name}, {ShowNumber(value)}, {""}});
    }
  }
  for (std::vector<Cell>& row : table.rows) std::ranges::replace(row.front().text, '_', ' ');
  out.emplace_back(std::move(table));
}

void AddScaling(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Scaling"});
  const bool has_any = !run.scaling.empty() || !run.all_reduce.empty();
  AddStageState(run, "scaling", has_any ? Figures::kPresent : Figures::kAbsent, out);
  AddRankTable(run, out);
  AddAllReduce(run, out);
}

void AddProfile(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Profile"});
  AddStageState(run, "profile", run.profile.empty() ? Figures::kAbsent : Figures::kPresent, out);
  if (!run.profile.empty()) out.emplace_back(Code{run.profile});
}

}  // namespace phalanx::report
