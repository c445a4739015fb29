#include "tests/bench/run_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "bench/report/document.h"
#include "bench/report/read_run.h"
#include "bench/report/sections.h"

namespace phalanx::report {

namespace fs = std::filesystem;

RunFolder::RunFolder() {
  std::string name = (fs::temp_directory_path() / "gpu_report_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
  path_ = name;
  fs::create_directory(path_ / "raw");
}

RunFolder::~RunFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

void RunFolder::Raw(std::string_view name, std::string_view text) const {
  std::ofstream(path_ / "raw" / name, std::ios::binary) << text;
}

void RunFolder::Stage(std::string_view name, std::string_view state,
                      std::string_view reason) const {
  Raw(fmt::format("{}.stage", name),
      fmt::format("command=bin/{}\nstate={}\nseconds=1.5\nreason={}\n", name, state, reason));
}

RunData RunFolder::Read() const {
  StatusOr<RunData> run = ReadRun(path_);
  EXPECT_TRUE(run.ok()) << run.status().message();
  return std::move(run).value();
}

std::string RunFolder::Markdown() const {
  const RunData run = Read();
  return RenderMarkdown(MakeDocument(run, Summarize(run)));
}

std::string RunFolder::Html() const {
  const RunData run = Read();
  return RenderHtml(MakeDocument(run, Summarize(run)));
}

std::string TestsJson(std::string_view failure) {
  const std::string failures =
      failure.empty() ? "" : fmt::format(R"(, "failures": [{{"failure": "{}"}}])", failure);
  return fmt::format(
      R"({{"tests": 2, "failures": {}, "testsuites": [{{"name": "S", "testsuite": [
        {{"name": "passes", "classname": "S", "status": "RUN", "result": "COMPLETED"}},
        {{"name": "waits", "classname": "S", "status": "RUN", "result": "SKIPPED",
          "skipped": [{{"message": "no second GPU"}}]}},
        {{"name": "breaks", "classname": "S", "status": "RUN", "result": "COMPLETED"{}}}]}}]}})",
      failure.empty() ? 0 : 1, failures);
}

std::string DecodeLine(double tokens_per_s, std::string_view device) {
  std::string line = fmt::format(
      R"({{"model": "/models/qwen2.5-7b", "device": "{}", "quantization": "none", "numerics": "fast",
          "ranks": 1, "batch": 1, "prompt_tokens": 512, "decode_tokens_per_s": {},
          "decode_step_ms": 4.0, "fraction_of_read_limit": 0.85, "all_reduce_share": 0,
          "prefill_tokens_per_s": 30000, "fraction_of_tensor_peak": 0.5}})",
      device, tokens_per_s);
  std::erase(line, '\n');
  return line + "\n";
}

std::string OpsJson(double gemv_slowness, std::string_view device) {
  // The read limit is 4000 GB/s and an empty kernel takes 2 us. 14.4 MB in 4 us at the asked
  // 3600 GB/s, so 6 us; 400 MB in 100 us at the limit.
  std::string cases;
  const auto add = [&](const std::string& op, const std::string& shape, double us, double bytes,
                       double cublas_us) {
    cases += fmt::format(R"({}{{"op": "{}", "shape": "{}", "median_us": {}, "gb_per_s": {},
        "gflop_per_s": 100, "limit": "read", "floor_us": 3, "fraction_of_limit": 0.9{}}})",
                         cases.empty() ? "" : ",", op, shape, us, bytes / us * 1e-3,
                         cublas_us > 0 ? fmt::format(R"(, "cublas_us": {})", cublas_us) : "");
  };
  for (const char* model : {"0.5B", "7B"}) {
    const std::string name = model;
    add("linear", name + " qkv BF16 rows=1 in=8 out=8", 5.9 * gemv_slowness, 14.4e6, 0);
    add("gate_up", name + " BF16 rows=1 in=8 out=8", 115 * gemv_slowness, 400e6, 0);
    add("attention", name + " BF16 seqs=1 new=1 context=64 heads=4/4 dim=64", 5.9, 14.4e6, 0);
    add("linear", name + " qkv BF16 rows=512 in=8 out=8", 100, 1e6, 60);
  }
  return fmt::format(
      R"({{"device": "{}", "isa": "sm_90", "numerics": "fast", "cublas": "cuBLAS 13.1",
          "limits": {{"read_gb_per_s": 4000, "empty_kernel_us": 2}}, "cases": [{}],
          "failures": []}})",
      device, cases);
}

void WriteGoodRun(const RunFolder& folder) {
  for (const char* stage : {"facts", "host", "limits", "kernels", "models", "determinism", "hf",
                            "sanitizer", "ops", "decode", "prefill", "load"}) {
    folder.Stage(stage, "passed");
  }
  folder.Stage("scaling", "skipped", "one GPU");
  folder.Raw("facts.json", R"({"device": "cuda", "gpu": "NVIDIA H200", "gpus": 1, "driver": "580.1",
                              "date": "2026-01-02", "commit": "abc"})");
  folder.Raw("limits.json", R"({"device": "cuda", "name": "NVIDIA H200", "read_gb_per_s": 4123,
      "copy_gb_per_s": 3900, "tensor_tflop_per_s": 660, "launch_us": 2.5, "empty_kernel_us": 2,
      "graph_node_us": null})");
  for (const char* stage : {"kernels", "models", "determinism"}) {
    folder.Raw(fmt::format("{}.json", stage), TestsJson());
  }
  folder.Raw("ops.json", OpsJson());
  folder.Raw("decode.jsonl", DecodeLine(251));
  folder.Raw("prefill.jsonl", DecodeLine(251));
  folder.Raw("load.json", R"({"model": "7B", "checkpoint_bytes": 1024, "cold_first_token_s": 9.5,
                             "warm_first_token_s": 3.25})");
}

}  // namespace phalanx::report
