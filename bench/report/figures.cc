#include "bench/report/figures.h"

#include <fmt/format.h>

#include <map>

#include "bench/report/text.h"

namespace phalanx::report {
namespace {

class FigureList {
 public:
  void Add(std::string_view section, std::string name, std::optional<double> value,
           std::string_view unit, Better better) {
    if (!value) return;
    const int count = ++counts_[fmt::format("{}\n{}", section, name)];
    if (count > 1) name += fmt::format(" ({})", count);
    figures_.push_back({std::string(section), std::move(name), *value, std::string(unit), better});
  }
  std::vector<Figure> Take() { return std::move(figures_); }

 private:
  std::vector<Figure> figures_;
  std::map<std::string, int> counts_;
};

void AddLimits(const Limits& limits, FigureList& list) {
  const auto add = [&](const char* name, std::optional<double> value, const char* unit,
                       Better better) { list.Add(kLimitsSection, name, value, unit, better); };
  add("read bandwidth", limits.read_gb_per_s, "GB/s", Better::kHigher);
  add("copy bandwidth", limits.copy_gb_per_s, "GB/s", Better::kHigher);
  add("tensor peak", limits.tensor_tflop_per_s, "TFLOP/s", Better::kHigher);
  add("launch", limits.launch_us, "us", Better::kLower);
  add("empty kernel", limits.empty_kernel_us, "us", Better::kLower);
  add("graph node", limits.graph_node_us, "us", Better::kLower);
}

void AddOps(const Ops& ops, FigureList& list) {
  for (const OpCase& one : ops.cases) {
    const std::string name = fmt::format("{} {}", one.op, one.shape);
    list.Add(kOpsSection, name + ": time", one.median_us, "us", Better::kLower);
    list.Add(kOpsSection, name + ": of its limit", one.fraction_of_limit, "", Better::kHigher);
    if (one.cublas_us) {
      list.Add(kOpsSection, name + ": cuBLAS's time over ours", *one.cublas_us / one.median_us, "",
               Better::kHigher);
    }
  }
}

std::string NameOf(const ServiceRow& row) {
  std::string name = row.model;
  if (!row.quantization.empty() && row.quantization != "none") name += " " + row.quantization;
  if (!row.numerics.empty()) name += " " + row.numerics;
  if (row.ranks.value_or(1) != 1) name += fmt::format(" ranks={}", ShowNumber(row.ranks));
  return fmt::format("{} batch={} prompt={}", name, ShowNumber(row.batch),
                     ShowNumber(row.prompt_tokens));
}

void AddDecode(std::string_view section, const std::vector<ServiceRow>& rows, FigureList& list) {
  for (const ServiceRow& row : rows) {
    const std::string name = NameOf(row);
    const auto add = [&](const char* what, std::optional<double> value, const char* unit,
                         Better better) {
      list.Add(section, fmt::format("{}: {}", name, what), value, unit, better);
    };
    add("decode", row.decode_tokens_per_s, "tokens/s", Better::kHigher);
    add("step", row.decode_step_ms, "ms", Better::kLower);
    add("of the read limit", row.fraction_of_read_limit, "", Better::kHigher);
    if (row.ranks.value_or(1) > 1) {
      add("share of all-reduces", row.all_reduce_share, "", Better::kLower);
    }
    add("peak device memory", row.peak_device_memory_mb, "MB", Better::kLower);
  }
}

void AddPrefill(const std::vector<ServiceRow>& rows, FigureList& list) {
  for (const ServiceRow& row : rows) {
    const std::string name = NameOf(row);
    list.Add(kPrefillSection, name + ": prefill", row.prefill_tokens_per_s, "tokens/s",
             Better::kHigher);
    list.Add(kPrefillSection, name + ": of the tensor peak", row.fraction_of_tensor_peak, "",
             Better::kHigher);
  }
}

void AddAllReduce(const std::vector<AllReduceRow>& rows, FigureList& list) {
  for (const AllReduceRow& row : rows) {
    const std::string name = fmt::format("all-reduce {} ranks={} {}", row.sums,
                                         ShowNumber(row.ranks), ShowBytes(row.bytes));
    list.Add(kScalingSection, name + ": time", row.median_us, "us", Better::kLower);
    list.Add(kScalingSection, name + ": bus", row.bus_gb_per_s, "GB/s", Better::kHigher);
  }
}

}  // namespace

std::vector<Figure> FiguresOf(const RunData& run) {
  FigureList list;
  AddLimits(run.limits, list);
  if (run.ops) AddOps(*run.ops, list);
  AddDecode(kDecodeSection, run.decode, list);
  AddPrefill(run.prefill, list);
  for (const auto& [name, value] : run.load_figures) {
    if (!name.ends_with("_s")) continue;
    list.Add(kLoadSection, name.substr(0, name.size() - 2), value, "s", Better::kLower);
  }
  AddDecode(kScalingSection, run.scaling, list);
  AddAllReduce(run.all_reduce, list);
  return list.Take();
}

}  // namespace phalanx::report
