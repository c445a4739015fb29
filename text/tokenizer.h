// Byte-level BPE tokenizer in the Hugging Face file formats, exact against the `tokenizers` library
// 0.23.
//
//   text -> split at added tokens -> NFC -> split into pieces -> bytes -> BPE merges -> ids ->
//   template (BOS)
//
// Reads MODEL_DIR/tokenizer.json, or vocab.json + merges.txt (+ tokenizer_config.json for the added
// tokens) where that file is absent. A pipeline that this code does not know is refused, naming
// file, field, value and what is allowed, and never approximated.
//
// Byte-level BPE: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019),
// after Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016). NFC:
// Unicode Standard Annex 15.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

enum class SpecialTokens {
  kAdd,   // what the file's post-processor adds, e.g. a BOS in front; Hugging Face's default
  kOmit,  // add_special_tokens=False
};

struct EncodeOptions {
  SpecialTokens special_tokens = SpecialTokens::kAdd;
};

enum class SpecialTokenText { kKeep, kSkip };

struct DecodeOptions {
  SpecialTokenText special_tokens = SpecialTokenText::kKeep;  // kSkip: skip_special_tokens=True
};

// Immutable once loaded: every method may be called from any number of threads.
class Tokenizer {
 public:
  // NOT_FOUND: a file is missing. INVALID_ARGUMENT: a file is broken or asks for what is not
  // supported.
  static StatusOr<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& model_dir);

  virtual ~Tokenizer() = default;

  // Special tokens that are spelled out in the text are found whatever the options say, as in
  // Hugging Face. INVALID_ARGUMENT with the byte offset where `utf8` is not UTF-8. Time grows
  // linearly with the text's length (n log n in the length of its longest piece).
  virtual StatusOr<std::vector<int32_t>> Encode(std::string_view utf8,
                                                EncodeOptions options = {}) const = 0;

  // Bytes that are no UTF-8 become U+FFFD, one for each maximal broken sequence. INVALID_ARGUMENT
  // at an unknown id.
  virtual StatusOr<std::string> Decode(std::span<const int32_t> ids,
                                       DecodeOptions options = {}) const = 0;

  // The bytes that the token stands for; they need not be whole characters. Empty for an unknown
  // id. The view lives as long as the tokenizer.
  virtual std::string_view TokenBytes(int32_t id) const = 0;

  // The token as the file spells it, e.g. "Ġthe"; nullopt for an unknown id.
  virtual std::optional<std::string> IdToToken(int32_t id) const = 0;

  // By the file's spelling; added tokens included.
  virtual std::optional<int32_t> TokenToId(std::string_view token) const = 0;

  virtual bool IsKnown(int32_t id) const = 0;
  virtual bool IsSpecial(int32_t id) const = 0;

  // One more than the largest id. The model's vocab_size (rows of its embedding) may be larger.
  virtual int32_t vocab_size() const = 0;

  // tokenizer_config.json's bos_token, eos_token and pad_token, where they name a known token.
  virtual std::optional<int32_t> bos_id() const = 0;
  virtual std::optional<int32_t> eos_id() const = 0;
  virtual std::optional<int32_t> pad_id() const = 0;
};

}  // namespace phalanx
