#include "coordinator/core/served_model.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "coordinator/core/printable.h"
#include "coordinator/core/reasoning_splitter.h"
#include "hub/locate.h"
#include "kernels/base/file.h"
#include "kernels/base/json_bounds.h"

namespace phalanx {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr char kOverrideFlag[] = "--override-generation-config";
constexpr int64_t kMaxFileBytes = 16 << 20;

StatusOr<json> ParseObject(const std::string& source, const std::string& text) {
  const JsonBounds bounds{.top = JsonTop::kObject, .duplicates = DuplicateKeys::kAllowed};
  if (FindJsonFault(text, bounds)) {
    return InvalidArgumentError("{}: is not a JSON object of at most {} levels", source,
                                bounds.max_depth);
  }
  return json::parse(text);
}

StatusOr<json> ReadObject(const fs::path& file) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, kMaxFileBytes));
  return ParseObject(file.string(), text);
}

struct FloatRange {
  float low;
  float high;
  std::string_view allowed;
};

Status ReadFloat(const std::string& source, const json& object, const char* key, FloatRange range,
                 float* out) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return OkStatus();
  const double value = it->is_number() ? it->get<double>() : NAN;
  if (!(value >= range.low && value <= range.high)) {
    return InvalidArgumentError("{}: {}: is {}, allowed: {}", source, key, it->dump(),
                                range.allowed);
  }
  *out = static_cast<float>(value);
  return OkStatus();
}

Status ReadInt(const std::string& source, const json& object, const char* key, int32_t low,
               int32_t high, std::optional<int32_t>* out) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return OkStatus();
  if (!it->is_number_integer() || it->get<int64_t>() < low || it->get<int64_t>() > high) {
    return InvalidArgumentError("{}: {}: is {}, allowed: an integer from {} to {}", source, key,
                                it->dump(), low, high);
  }
  *out = it->get<int32_t>();
  return OkStatus();
}

// An id or a list of ids; `out` stays as it is where the key is absent or null.
Status ReadIds(const std::string& source, const json& object, const char* key, int32_t vocab_size,
               std::vector<int32_t>* out) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return OkStatus();
  const json list = it->is_array() ? *it : json::array({*it});
  std::vector<int32_t> ids;
  for (const json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size) {
      return InvalidArgumentError("{}: {}: is {}, allowed: token ids below vocab_size {}", source,
                                  key, it->dump(), vocab_size);
    }
    ids.push_back(id.get<int32_t>());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  *out = std::move(ids);
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<const ServedModel>> ServedModel::Load(const ServedModelOptions& options) {
  ServedModelOptions located = options;
  PHALANX_ASSIGN_OR_RETURN(located.model_dir, LocateModel(options.model_dir.string()));
  std::unique_ptr<ServedModel> model(new ServedModel());
  model->names_ = options.names;
  if (model->names_.empty()) model->names_.push_back(options.model_dir.string());
  PHALANX_RETURN_IF_ERROR(model->LoadConfig(located.model_dir / "config.json"));
  PHALANX_RETURN_IF_ERROR(model->LoadText(located));
  PHALANX_RETURN_IF_ERROR(model->LoadGenerationConfig(located));
  return std::unique_ptr<const ServedModel>(std::move(model));
}

Status ServedModel::LoadConfig(const fs::path& file) {
  PHALANX_ASSIGN_OR_RETURN(const json config, ReadObject(file));
  const std::string source = file.string();
  std::optional<int32_t> vocab_size;
  std::optional<int32_t> positions;
  constexpr int32_t kMax = 1 << 30;
  PHALANX_RETURN_IF_ERROR(ReadInt(source, config, "vocab_size", 1, kMax, &vocab_size));
  PHALANX_RETURN_IF_ERROR(ReadInt(source, config, "max_position_embeddings", 1, kMax, &positions));
  if (!vocab_size) return InvalidArgumentError("{}: vocab_size: is missing", source);
  vocab_size_ = *vocab_size;
  max_position_embeddings_ = positions.value_or(0);
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (config.contains(key) && config[key].is_string()) dtype_ = config[key].get<std::string>();
  }
  if (config.contains("architectures") && config["architectures"].is_array() &&
      !config["architectures"].empty() && config["architectures"][0].is_string()) {
    architecture_ = config["architectures"][0].get<std::string>();
  }
  return ReadIds(source, config, "eos_token_id", vocab_size_, &eos_token_ids_);
}

Status ServedModel::LoadText(const ServedModelOptions& options) {
  StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(options.model_dir);
  const bool has_files = fs::exists(options.model_dir / "tokenizer.json") ||
                         fs::exists(options.model_dir / "vocab.json");
  if (tokenizer.ok()) {
    tokenizer_ = *std::move(tokenizer);
  } else if (has_files) {
    return std::move(tokenizer).status();
  }
  if (eos_token_ids_.empty() && tokenizer_ != nullptr && tokenizer_->eos_id()) {
    eos_token_ids_ = {*tokenizer_->eos_id()};
  }
  if (!options.reasoning_parser.empty()) PHALANX_RETURN_IF_ERROR(FindReasoningTokens());
  if (options.chat_template.empty()) {
    PHALANX_ASSIGN_OR_RETURN(chat_template_, LoadChatTemplate(options.model_dir));
    return OkStatus();
  }
  const StatusOr<std::string> text = ReadSmallFile(options.chat_template, kMaxFileBytes);
  if (!text.ok()) return text.status().WithContext("--chat-template");
  PHALANX_ASSIGN_OR_RETURN(TemplateTokens tokens, LoadTemplateTokens(options.model_dir));
  chat_template_ = MakeChatTemplate(*text, std::move(tokens));
  // A model's own template may be one that nobody asks for; this one somebody chose.
  if (chat_template_->name() != "unusable") return OkStatus();
  return InvalidArgumentError("{}: {}", options.chat_template.string(),
                              chat_template_->Render({}).status().message())
      .WithContext("--chat-template");
}

Status ServedModel::FindReasoningTokens() {
  std::optional<int32_t> begin;
  std::optional<int32_t> end;
  if (tokenizer_ != nullptr) {
    begin = tokenizer_->TokenToId(kReasoningBegin);
    end = tokenizer_->TokenToId(kReasoningEnd);
  }
  if (!begin || !end) {
    return InvalidArgumentError(
        "--reasoning-parser: is given, allowed: nothing where the tokenizer has no tokens {} and "
        "{}",
        kReasoningBegin, kReasoningEnd);
  }
  reasoning_ = ReasoningTokens{.begin = *begin, .end = *end};
  return OkStatus();
}

Status ServedModel::LoadGenerationConfig(const ServedModelOptions& options) {
  json config = json::object();
  std::string file_name;
  json over = json::object();
  if (options.generation_config != "vllm") {
    const bool is_auto = options.generation_config == "auto";
    const fs::path file = (is_auto ? options.model_dir : fs::path(options.generation_config)) /
                          "generation_config.json";
    StatusOr<json> read = ReadObject(file);
    if (read.ok()) {
      config = *std::move(read);
      file_name = file.string();
    } else if (!is_auto || read.status().code() != StatusCode::kNotFound) {
      return read.status().WithContext("--generation-config");
    }
  }
  if (!options.override_generation_config.empty()) {
    PHALANX_ASSIGN_OR_RETURN(over, ParseObject(kOverrideFlag, options.override_generation_config));
    config.update(over);
    // An operator who sets a temperature means to sample.
    if (over.contains("temperature") && !over.contains("do_sample")) config.erase("do_sample");
  }
  const auto source = [&](const char* key) {
    return over.contains(key) ? std::string(kOverrideFlag) : file_name;
  };
  // transformers takes them from here before config.json.
  PHALANX_RETURN_IF_ERROR(
      ReadIds(source("eos_token_id"), config, "eos_token_id", vocab_size_, &eos_token_ids_));
  // As in transformers, a model whose file says do_sample: false is greedy unless asked otherwise.
  if (config.contains("do_sample") && config["do_sample"] == false) defaults_.temperature = 0.0F;
  constexpr float kTiny = 1e-6F;
  const bool greedy = defaults_.temperature == 0.0F;
  PHALANX_RETURN_IF_ERROR(ReadFloat(source("temperature"), config, "temperature",
                                    {0, 2, "a number from 0 to 2"}, &defaults_.temperature));
  if (greedy) defaults_.temperature = 0.0F;
  PHALANX_RETURN_IF_ERROR(ReadFloat(source("top_p"), config, "top_p",
                                    {kTiny, 1, "a number in (0, 1]"}, &defaults_.top_p));
  PHALANX_RETURN_IF_ERROR(ReadFloat(source("min_p"), config, "min_p",
                                    {0, 1, "a number from 0 to 1"}, &defaults_.min_p));
  PHALANX_RETURN_IF_ERROR(ReadFloat(source("repetition_penalty"), config, "repetition_penalty",
                                    {kTiny, 10, "a number from 0.000001 to 10"},
                                    &defaults_.repetition_penalty));
  std::optional<int32_t> top_k;
  constexpr int32_t kMax = 1 << 30;
  PHALANX_RETURN_IF_ERROR(ReadInt(source("top_k"), config, "top_k", -1, kMax, &top_k));
  defaults_.top_k = std::max(top_k.value_or(0), 0);
  return ReadInt(source("max_new_tokens"), config, "max_new_tokens", 1, kMax,
                 &defaults_.max_new_tokens);
}

Status ServedModel::CheckName(std::string_view name) const {
  if (name.empty() || std::find(names_.begin(), names_.end(), name) != names_.end()) {
    return OkStatus();
  }
  return NotFoundError("model: is {}, allowed: {}", Printable(name), Printable(id()))
      .WithField("model");
}

}  // namespace phalanx
