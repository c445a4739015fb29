// What the coordinator knows of the model that it serves: names, tokenizer, chat template, and the
// fields of config.json and generation_config.json that concern requests. Immutable once loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace phalanx {

// What a request that leaves a field out gets.
struct GenerationDefaults {
  float temperature = 1.0F;
  int32_t top_k = 0;
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
  std::optional<int32_t> max_new_tokens;
};

struct ServedModelOptions {
  std::filesystem::path model_dir;
  std::vector<std::string> names = {};  // the first is the reported one; none: model_dir as given
  // "auto": model_dir/generation_config.json where it exists; "vllm": the neutral defaults; else a
  // folder that holds a generation_config.json.
  std::string generation_config = "auto";
  std::string override_generation_config = {};  // JSON object, merged over it; empty: none
  std::filesystem::path chat_template = {};     // empty: the model's own
  std::string reasoning_parser = {};            // "deepseek_r1"; empty: thinking is not told apart
};

// The tokens around a model's thinking.
struct ReasoningTokens {
  int32_t begin = 0;
  int32_t end = 0;
};

class ServedModel {
 public:
  // NOT_FOUND or INVALID_ARGUMENT naming file and field. A folder without tokenizer files loads:
  // such a model takes and gives token ids only.
  static StatusOr<std::unique_ptr<const ServedModel>> Load(const ServedModelOptions& options);

  // OK where `name` is empty or one of the served names, else NOT_FOUND.
  Status CheckName(std::string_view name) const;

  const std::string& id() const { return names_.front(); }
  const std::vector<std::string>& names() const { return names_; }
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }  // null: none
  const ChatTemplate& chat_template() const { return *chat_template_; }
  // What --reasoning-parser has chosen.
  const std::optional<ReasoningTokens>& reasoning() const { return reasoning_; }
  const GenerationDefaults& defaults() const { return defaults_; }
  const std::vector<int32_t>& eos_token_ids() const { return eos_token_ids_; }  // ascending
  const std::string& architecture() const { return architecture_; }
  const std::string& dtype() const { return dtype_; }  // of the checkpoint; empty: not stated
  int32_t vocab_size() const { return vocab_size_; }   // rows of the embedding
  int32_t max_position_embeddings() const { return max_position_embeddings_; }

 private:
  ServedModel() = default;
  Status LoadConfig(const std::filesystem::path& file);
  Status LoadGenerationConfig(const ServedModelOptions& options);
  Status LoadText(const ServedModelOptions& options);
  Status FindReasoningTokens();

  std::vector<std::string> names_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> chat_template_;
  std::optional<ReasoningTokens> reasoning_;
  GenerationDefaults defaults_;
  std::vector<int32_t> eos_token_ids_;
  std::string architecture_;
  std::string dtype_;
  int32_t vocab_size_ = 0;
  int32_t max_position_embeddings_ = 0;
};

}  // namespace phalanx
