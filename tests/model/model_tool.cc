// Runs prompts through N thread ranks and writes what came out, for the parity scripts:
//
//   model_tool REQUEST.json OUT_DIR
//
// REQUEST: {"model": DIR, "dummy_seed": S (absent: read the checkpoint), "ranks": [1, 2],
//   "isa": "", "device": "cpu", "narrow": false, "quantization": "none", "prompts": [[ids], ...],
//   "max_tokens": T, "chunk": C, "trace": false}; with "narrow" activations are of the model's type
// OUT_DIR/result.json: {"runs": [{"ranks": N, "tokens": [[...]], "margins": [[...]]}]}; of run i
// and prompt j OUT_DIR/logits.I.J.f32 holds the prompt rows' logits, [prompt tokens, vocab_size];
// with "trace" no token is generated, and OUT_DIR/trace.I.J.NAME.f32 holds rank 0's activations.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "model/json_fields.h"
#include "tests/model/model_group.h"

namespace phalanx::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Status Append(const fs::path& path, const float* data, int64_t count) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file.write(reinterpret_cast<const char*>(data),
             static_cast<std::streamsize>(count * static_cast<int64_t>(sizeof(float))));
  if (!file) return InternalError("{}: cannot be written", path.string());
  return OkStatus();
}

StatusOr<json> RunOnce(const json& request, int num_ranks, size_t run, const fs::path& out_dir) {
  GroupOptions options;
  options.num_ranks = num_ranks;
  options.model_dir = request.at("model").get<std::string>();
  PHALANX_ASSIGN_OR_RETURN(options.config, LoadConfig(options.model_dir));
  if (request.contains("dummy_seed")) {
    options.model.load_format = LoadFormat::kDummy;
    options.model.dummy_seed = request["dummy_seed"];
  }
  options.backend.cpu_isa = request.value("isa", "");
  options.backend.device = request.value("device", "cpu");
  if (request.value("narrow", false)) options.backend.activation_dtype = options.config.dtype;
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    if (request.value("quantization", "none") == Name(quantization)) {
      options.model.quantization = quantization;
    }
  }
  const auto prompts = request.at("prompts").get<std::vector<std::vector<int32_t>>>();
  const int max_tokens = request.at("max_tokens");
  const int64_t chunk = request.at("chunk");
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  options.num_sequences = static_cast<int64_t>(prompts.size());
  options.max_sequence_tokens = static_cast<int64_t>(longest) + max_tokens;
  options.model.max_num_tokens = std::max<int64_t>(chunk, options.num_sequences);
  options.model.max_num_logit_rows = options.model.max_num_tokens;
  options.model.max_model_len =
      std::min(MaxContextTokens(options.config), options.max_sequence_tokens);
  PHALANX_ASSIGN_OR_RETURN(const auto group, ModelGroup::Load(options));

  json result = {{"ranks", num_ranks}, {"tokens", json::array()}, {"margins", json::array()}};
  const auto write_logits = [&](size_t p, const std::vector<Row>& rows) -> Status {
    for (const Row& row : rows) {
      PHALANX_RETURN_IF_ERROR(Append(out_dir / fmt::format("logits.{}.{}.f32", run, p), row.data(),
                                     static_cast<int64_t>(row.size())));
    }
    return OkStatus();
  };
  if (request.value("trace", false)) {
    for (size_t p = 0; p < prompts.size(); ++p) {
      Status trace_error;
      group->rank(0).model->SetTraceSink([&, p](std::string_view name, const TensorView& view) {
        const Status status = Append(out_dir / fmt::format("trace.{}.{}.{}.f32", run, p, name),
                                     view.row<float>(0), view.rows * view.cols);
        if (trace_error.ok()) trace_error = status;
      });
      PHALANX_ASSIGN_OR_RETURN(const auto traced, group->Generate({prompts[p]}, 0, chunk,
                                                                  ModelGroup::PromptLogits::kYes));
      PHALANX_RETURN_IF_ERROR(trace_error);
      PHALANX_RETURN_IF_ERROR(write_logits(p, traced[0].prompt_logits));
    }
    return result;
  }
  PHALANX_ASSIGN_OR_RETURN(const auto generated, group->Generate(prompts, max_tokens, chunk,
                                                                 ModelGroup::PromptLogits::kYes));
  for (size_t p = 0; p < prompts.size(); ++p) {
    PHALANX_RETURN_IF_ERROR(write_logits(p, generated[p].prompt_logits));
    result["tokens"].push_back(generated[p].tokens);
    result["margins"].push_back(generated[p].margins);
  }
  return result;
}

Status Run(const fs::path& request_path, const fs::path& out_dir) {
  constexpr int64_t kMaxRequestBytes = 64 << 20;
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(request_path, kMaxRequestBytes));
  PHALANX_ASSIGN_OR_RETURN(const json request, ParseJsonObject(text, request_path.string()));
  json result = {{"runs", json::array()}};
  size_t run = 0;
  for (const json& num_ranks : request.at("ranks")) {
    PHALANX_ASSIGN_OR_RETURN(json one, RunOnce(request, num_ranks, run++, out_dir));
    result["runs"].push_back(std::move(one));
  }
  std::ofstream(out_dir / "result.json") << result;
  return OkStatus();
}

}  // namespace
}  // namespace phalanx::testing

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: model_tool REQUEST.json OUT_DIR\n");
    return 2;
  }
  const phalanx::Status status = phalanx::testing::Run(argv[1], argv[2]);
  if (!status.ok()) std::fprintf(stderr, "model_tool: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
