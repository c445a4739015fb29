// The files of a Hugging Face tokenizer, read and checked into plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/status.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/split_pattern.h"
#include "text/vocab_reader.h"

namespace phalanx {

enum class Normalization { kNone, kNfc };

struct TokenizerSpec {
  Vocab vocab;
  std::vector<BpeMerge> merges;  // by rank
  WholePieces whole_pieces = WholePieces::kByMerges;
  bool needs_all_bytes = false;  // an unknown-token rule exists, so no byte may lack a token
  SplitPattern split_pattern = SplitPattern::kQwen2;
  Normalization normalization = Normalization::kNfc;
  std::vector<AddedToken> added_tokens;
  // What the post-processor puts around a text.
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  // tokenizer_config.json
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> pad_token;
};

// Reads tokenizer.json, or vocab.json and merges.txt, and tokenizer_config.json where it exists.
// Errors as Tokenizer::Load.
StatusOr<TokenizerSpec> ReadTokenizerFiles(const std::filesystem::path& model_dir);

}  // namespace phalanx
