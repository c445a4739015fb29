#include <algorithm>

#include "bench/report/read_run.h"
#include "bench/report/text.h"

namespace phalanx::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Limits ReadLimits(Fields& fields) {
  return {.read_gb_per_s = fields.Number("read_gb_per_s"),
          .copy_gb_per_s = fields.Number("copy_gb_per_s"),
          .tensor_tflop_per_s = fields.Number("tensor_tflop_per_s"),
          .launch_us = fields.Number("launch_us"),
          .empty_kernel_us = fields.Number("empty_kernel_us"),
          .graph_node_us = fields.Number("graph_node_us")};
}

// One file saying that the device is emulated is enough: then none of the times means anything.
void SeeDevice(const std::string& device, std::string_view file, RunData& run) {
  if (device.empty() || device == run.device) return;
  if (!run.device.empty()) {
    AddNote(run.notes,
            fmt::format("raw/{}: device is {}, that of the run {}", file, device, run.device));
  }
  if (run.device.empty() || device == "cuda-emulated") run.device = device;
}

void ReadLimitsFile(const fs::path& raw, RunData& run) {
  const auto object = ReadObject(raw / "limits.json", run.notes);
  if (!object) return;
  Fields fields(*object, "raw/limits.json", run.notes);
  run.limits = ReadLimits(fields);
  SeeDevice(fields.Text("device"), "limits.json", run);
  if (run.Fact("gpu").empty() && !fields.Text("name").empty()) {
    run.facts.emplace_back("gpu", CleanText(fields.Text("name"), kMaxNameChars));
  }
  // 1000 * major + 10 * minor; 0 where there is none.
  if (const double version = fields.Number("runtime_cuda").value_or(0); version >= 1000) {
    const auto number = static_cast<int>(version);
    run.facts.emplace_back("cuda_runtime", fmt::format("{}.{}", number / 1000, number % 1000 / 10));
  }
}

// GoogleTest names what a test skipped or failed with in "skipped" and "failures".
TestCase ReadTest(const json& object, const std::string& where, Notes& notes) {
  Fields fields(object, where, notes);
  TestCase test{.name =
                    CleanText(fields.Text("classname") + "." + fields.Text("name"), kMaxNameChars)};
  const auto first_of = [&](const char* list, const char* field) {
    const auto items = fields.Objects(list);
    return items.empty() ? "" : Fields(*items.front(), fields.At(list, 0), notes).TextLines(field);
  };
  if (!fields.Objects("failures").empty()) {
    test.state = TestState::kFailed;
    test.message = first_of("failures", "failure");
  } else if (fields.Text("result") != "COMPLETED") {
    test.state = TestState::kSkipped;
    test.message = first_of("skipped", "message");
  }
  return test;
}

void ReadTests(const fs::path& raw, std::string_view stage, RunData& run) {
  const std::string file = fmt::format("{}.json", stage);
  const auto object = ReadObject(raw / file, run.notes);
  if (!object) return;
  Fields fields(*object, "raw/" + file, run.notes);
  TestProgram program{.stage = std::string(stage)};
  size_t num_failed = 0;
  size_t suite_index = 0;
  for (const json* suite : fields.Objects("testsuites")) {
    Fields suite_fields(*suite, fields.At("testsuites", suite_index++), run.notes);
    size_t index = 0;
    for (const json* test : suite_fields.Objects("testsuite")) {
      program.tests.push_back(ReadTest(*test, suite_fields.At("testsuite", index++), run.notes));
      num_failed += program.tests.back().state == TestState::kFailed;
    }
  }
  const double counted =
      fields.Number("failures").value_or(0) + fields.Number("errors").value_or(0);
  if (counted > static_cast<double>(num_failed)) {
    program.tests.push_back({.name = "outside of any test",
                             .state = TestState::kFailed,
                             .message = "the program counts more failures than its tests have"});
  }
  run.programs.push_back(std::move(program));
}

void ReadOps(const fs::path& raw, RunData& run) {
  const auto object = ReadObject(raw / "ops.json", run.notes);
  if (!object) return;
  Fields fields(*object, "raw/ops.json", run.notes);
  Ops ops{.device = fields.Text("device"),
          .isa = fields.Text("isa"),
          .numerics = fields.Text("numerics"),
          .cublas = fields.Text("cublas")};
  SeeDevice(ops.device, "ops.json", run);
  if (const json* limits = fields.Object("limits")) {
    Fields limit_fields(*limits, "raw/ops.json: limits", run.notes);
    ops.limits = ReadLimits(limit_fields);
  }
  size_t index = 0;
  for (const json* item : fields.Objects("cases")) {
    Fields one(*item, fields.At("cases", index++), run.notes);
    OpCase op_case{.op = CleanText(one.Text("op"), kMaxNameChars),
                   .shape = CleanText(one.Text("shape"), kMaxNameChars),
                   .limit = CleanText(one.Text("limit"), kMaxNameChars),
                   .floor_us = one.Number("floor_us"),
                   .fraction_of_limit = one.Number("fraction_of_limit"),
                   .gb_per_s = one.Number("gb_per_s"),
                   .gflop_per_s = one.Number("gflop_per_s"),
                   .cublas_us = one.Number("cublas_us")};
    const std::optional<double> median = one.Number("median_us");
    if (!median || *median == 0) {
      AddNote(run.notes, fmt::format("{}: {} {} is left out: it has no median_us",
                                     fields.At("cases", index - 1), op_case.op, op_case.shape));
      continue;
    }
    op_case.median_us = *median;
    ops.cases.push_back(std::move(op_case));
  }
  index = 0;
  for (const json* item : fields.Objects("failures")) {
    Fields one(*item, fields.At("failures", index++), run.notes);
    ops.failures.push_back({.op = CleanText(one.Text("op"), kMaxNameChars),
                            .shape = CleanText(one.Text("shape"), kMaxNameChars),
                            .error = one.TextLines("error")});
  }
  run.ops = std::move(ops);
}

std::vector<ServiceRow> ReadService(const fs::path& raw, const std::string& file, RunData& run) {
  std::vector<ServiceRow> rows;
  for (const json& object : ReadObjectLines(raw / file, run.notes)) {
    Fields fields(object, "raw/" + file, run.notes);
    std::string model = fields.Text("model");
    while (model.size() > 1 && model.back() == '/') model.pop_back();
    rows.push_back({.model = CleanText(model.substr(model.rfind('/') + 1), kMaxNameChars),
                    .device = fields.Text("device"),
                    .numerics = fields.Text("numerics"),
                    .quantization = fields.Text("quantization"),
                    .error = fields.Text("error"),
                    .ranks = fields.Number("ranks"),
                    .batch = fields.Number("batch"),
                    .prompt_tokens = fields.Number("prompt_tokens"),
                    .decode_tokens_per_s = fields.Number("decode_tokens_per_s"),
                    .decode_step_ms = fields.Number("decode_step_ms"),
                    .fraction_of_read_limit = fields.Number("fraction_of_read_limit"),
                    .all_reduce_share = fields.Number("all_reduce_share"),
                    .prefill_tokens_per_s = fields.Number("prefill_tokens_per_s"),
                    .fraction_of_tensor_peak = fields.Number("fraction_of_tensor_peak"),
                    .peak_device_memory_mb = fields.Number("peak_device_memory_mb"),
                    .first_token_s = fields.Number("first_token_s")});
    SeeDevice(rows.back().device, file, run);
  }
  return rows;
}

void ReadAllReduce(const fs::path& raw, RunData& run) {
  for (const json& object : ReadObjectLines(raw / "allreduce.jsonl", run.notes)) {
    Fields fields(object, "raw/allreduce.jsonl", run.notes);
    const auto ranks = fields.Number("ranks");
    const auto bytes = fields.Number("bytes");
    if (!ranks || !bytes) {
      AddNote(run.notes, "raw/allreduce.jsonl: a line without ranks or bytes is left out");
      continue;
    }
    run.all_reduce.push_back({.ranks = *ranks,
                              .bytes = *bytes,
                              .sums = CleanText(fields.Text("sums"), kMaxNameChars),
                              .median_us = fields.Number("median_us"),
                              .bus_gb_per_s = fields.Number("bus_gb_per_s")});
  }
}

void ReadLoad(const fs::path& raw, RunData& run) {
  const auto object = ReadObject(raw / "load.json", run.notes);
  if (!object) return;
  Fields fields(*object, "raw/load.json", run.notes);
  for (const auto& [key, value] : object->items()) {
    const std::string name = CleanText(key, kMaxNameChars);
    if (value.is_number()) {
      if (const auto number = fields.Number(key.c_str())) {
        run.load_figures.emplace_back(name, *number);
      }
    } else if (std::string text = CleanText(fields.Text(key.c_str()), kMaxNameChars);
               !text.empty()) {
      run.load_texts.emplace_back(name, std::move(text));
    }
  }
}

}  // namespace

void ReadMeasurements(const fs::path& raw, RunData& run) {
  ReadLimitsFile(raw, run);
  for (const std::string_view stage : {"kernels", "models", "determinism"}) {
    ReadTests(raw, stage, run);
  }
  ReadOps(raw, run);
  run.decode = ReadService(raw, "decode.jsonl", run);
  run.prefill = ReadService(raw, "prefill.jsonl", run);
  run.scaling = ReadService(raw, "scaling.jsonl", run);
  ReadAllReduce(raw, run);
  ReadLoad(raw, run);
}

}  // namespace phalanx::report
