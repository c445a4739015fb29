#include "text/tokenizer.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/bpe_scratch.h"
#include "text/byte_alphabet.h"
#include "text/split_pattern.h"
#include "text/tokenizer_files.h"
#include "text/unicode/classes.h"
#include "text/unicode/nfc.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

// The tokens by id and by spelling.
class Vocabulary {
 public:
  // `decoded_as[i]` is what spec.added_tokens[i] decodes to.
  Vocabulary(const TokenizerSpec& spec, const std::vector<std::string>& decoded_as,
             const ByteAlphabet& alphabet) {
    int32_t max_id = 0;
    for (const auto& [spelling, id] : spec.vocab) max_id = std::max(max_id, id);
    for (const AddedToken& token : spec.added_tokens) max_id = std::max(max_id, token.id);
    tokens_.resize(static_cast<size_t>(max_id) + 1);
    for (const auto& [spelling, id] : spec.vocab) Add(id, spelling, alphabet);
    for (size_t i = 0; i < spec.added_tokens.size(); ++i) {
      const AddedToken& token = spec.added_tokens[i];
      Add(token.id, decoded_as[i], alphabet);
      // Hugging Face looks a token's decoded form up among the special tokens.
      tokens_[static_cast<size_t>(token.id)].is_special =
          token.special && decoded_as[i] == token.content;
    }
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (tokens_[id].is_known) ids_.emplace(tokens_[id].spelling, static_cast<int32_t>(id));
    }
    for (size_t i = 0; i < spec.added_tokens.size(); ++i) {
      if (decoded_as[i] == spec.added_tokens[i].content) continue;
      const auto decoded = ids_.find(decoded_as[i]);
      if (decoded != ids_.end() && decoded->second == spec.added_tokens[i].id) ids_.erase(decoded);
      ids_.emplace(contents_.emplace_back(spec.added_tokens[i].content), spec.added_tokens[i].id);
    }
  }

  struct Token {
    std::string spelling;
    std::string bytes;
    bool is_known = false;
    bool is_special = false;
  };

  // nullptr: unknown.
  const Token* Find(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= tokens_.size()) return nullptr;
    const Token& token = tokens_[static_cast<size_t>(id)];
    return token.is_known ? &token : nullptr;
  }

  std::optional<int32_t> Find(std::string_view spelling) const {
    const auto it = ids_.find(spelling);
    if (it == ids_.end()) return std::nullopt;
    return it->second;
  }

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }

 private:
  void Add(int32_t id, std::string_view spelling, const ByteAlphabet& alphabet) {
    Token& token = tokens_[static_cast<size_t>(id)];
    token.spelling = spelling;
    token.bytes = alphabet.BytesOf(spelling);
    token.is_known = true;
  }

  std::vector<Token> tokens_;         // by id
  std::deque<std::string> contents_;  // of added tokens that decode to another form
  std::unordered_map<std::string_view, int32_t> ids_;  // views into tokens_ and contents_
};

BpeConfig MakeBpeConfig(TokenizerSpec* spec, const Vocabulary& vocabulary,
                        const ByteAlphabet& alphabet) {
  BpeConfig config;
  std::unordered_map<std::string_view, int32_t> ids;  // added tokens are none of BPE's
  for (const auto& [spelling, id] : spec->vocab) ids.emplace(spelling, id);
  for (size_t byte = 0; byte < 256; ++byte) {
    const char as_char = static_cast<char>(byte);
    const auto it = ids.find(alphabet.Spell({&as_char, 1}));
    config.byte_ids[byte] = it == ids.end() ? -1 : it->second;
  }
  config.tokens.reserve(spec->vocab.size());
  for (const auto& [spelling, id] : spec->vocab) {
    const std::string_view bytes = vocabulary.Find(id)->bytes;
    // A token that is spelled outside of the byte alphabet cannot come from a text.
    if (alphabet.Spell(bytes) == spelling) config.tokens.emplace_back(bytes, id);
  }
  config.merges = std::move(spec->merges);
  config.whole_pieces = spec->whole_pieces;
  return config;
}

// One BpeScratch for each call in progress, kept for the next call.
class ScratchPool {
 public:
  std::unique_ptr<BpeScratch> Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<BpeScratch> scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
    }
    return std::make_unique<BpeScratch>();
  }

  void Return(std::unique_ptr<BpeScratch> scratch) {
    constexpr size_t kMaxFree = 64;
    const std::lock_guard lock(mutex_);
    if (free_.size() < kMaxFree) free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeScratch>> free_;
};

class ByteLevelTokenizer final : public Tokenizer {
 public:
  explicit ByteLevelTokenizer(TokenizerSpec spec)
      : nfc_(classes_),
        normalization_(spec.normalization),
        split_pattern_(spec.split_pattern),
        raw_matcher_(MakeMatcher(spec, MatchIn::kRawText)),
        normalized_matcher_(MakeMatcher(spec, MatchIn::kNormalizedText)),
        prefix_ids_(std::move(spec.prefix_ids)),
        suffix_ids_(std::move(spec.suffix_ids)),
        vocabulary_(spec, DecodedForms(spec), alphabet_),
        bpe_(MakeBpeConfig(&spec, vocabulary_, alphabet_)) {
    const auto find = [&](const std::optional<std::string>& token) {
      return token ? vocabulary_.Find(*token) : std::nullopt;
    };
    bos_id_ = find(spec.bos_token);
    eos_id_ = find(spec.eos_token);
    pad_id_ = find(spec.pad_token);
  }

  StatusOr<std::vector<int32_t>> Encode(std::string_view utf8,
                                        EncodeOptions options) const override {
    if (utf8.size() >= std::numeric_limits<uint32_t>::max()) {
      return InvalidField("text", fmt::format("{} bytes", utf8.size()), "less than 4 GiB");
    }
    if (const std::optional<size_t> offset = FindInvalidUtf8(utf8)) {
      return InvalidField("text",
                          fmt::format("no UTF-8 at byte {} (0x{:02x})", *offset,
                                      static_cast<unsigned char>(utf8[*offset])),
                          "UTF-8");
    }
    const bool adds_special = options.special_tokens == SpecialTokens::kAdd;
    std::vector<int32_t> ids;
    ids.reserve(utf8.size() / 3 + 16);
    if (adds_special) ids.insert(ids.end(), prefix_ids_.begin(), prefix_ids_.end());
    std::unique_ptr<BpeScratch> scratch = scratch_pool_.Take();
    raw_matcher_.Match(utf8, [&](const AddedTokenMatcher::Split& split) {
      if (split.id >= 0) {
        ids.push_back(split.id);
      } else {
        EncodeBetweenTokens(split.text, scratch.get(), &ids);
      }
    });
    scratch_pool_.Return(std::move(scratch));
    if (adds_special) ids.insert(ids.end(), suffix_ids_.begin(), suffix_ids_.end());
    return ids;
  }

  StatusOr<std::string> Decode(std::span<const int32_t> ids, DecodeOptions options) const override {
    std::string bytes;
    for (size_t i = 0; i < ids.size(); ++i) {
      const Vocabulary::Token* token = vocabulary_.Find(ids[i]);
      if (token == nullptr) {
        return InvalidField(fmt::format("token_ids[{}]", i), ids[i],
                            fmt::format("the id of a token, less than {}", vocabulary_.size()));
      }
      if (token->is_special && options.special_tokens == SpecialTokenText::kSkip) continue;
      bytes += token->bytes;
    }
    std::string text;
    text.reserve(bytes.size());
    AppendLossyUtf8(bytes, &text);
    return text;
  }

  std::string_view TokenBytes(int32_t id) const override {
    const Vocabulary::Token* token = vocabulary_.Find(id);
    return token == nullptr ? std::string_view() : token->bytes;
  }

  std::optional<std::string> IdToToken(int32_t id) const override {
    const Vocabulary::Token* token = vocabulary_.Find(id);
    if (token == nullptr) return std::nullopt;
    return token->spelling;
  }

  std::optional<int32_t> TokenToId(std::string_view token) const override {
    return vocabulary_.Find(token);
  }

  bool IsKnown(int32_t id) const override { return vocabulary_.Find(id) != nullptr; }

  bool IsSpecial(int32_t id) const override {
    const Vocabulary::Token* token = vocabulary_.Find(id);
    return token != nullptr && token->is_special;
  }

  int32_t vocab_size() const override { return vocabulary_.size(); }
  std::optional<int32_t> bos_id() const override { return bos_id_; }
  std::optional<int32_t> eos_id() const override { return eos_id_; }
  std::optional<int32_t> pad_id() const override { return pad_id_; }

 private:
  enum class MatchIn { kRawText, kNormalizedText };

  // What an added token is looked for as, and what it decodes to.
  std::string FormOf(const AddedToken& token) const {
    if (!token.normalized || normalization_ == Normalization::kNone) return token.content;
    std::string form;
    nfc_.Append(token.content, &form);
    return form;
  }

  std::vector<std::string> DecodedForms(const TokenizerSpec& spec) const {
    std::vector<std::string> forms;
    for (const AddedToken& token : spec.added_tokens) forms.push_back(FormOf(token));
    return forms;
  }

  AddedTokenMatcher MakeMatcher(const TokenizerSpec& spec, MatchIn where) const {
    std::vector<AddedToken> tokens;
    std::vector<std::string> contents;
    for (const AddedToken& token : spec.added_tokens) {
      if (token.normalized != (where == MatchIn::kNormalizedText)) continue;
      tokens.push_back(token);
      contents.push_back(FormOf(token));
    }
    return {std::move(tokens), contents, classes_};
  }

  void EncodeBetweenTokens(std::string_view text, BpeScratch* scratch,
                           std::vector<int32_t>* ids) const {
    std::string normalized;
    if (normalization_ == Normalization::kNfc && nfc_.MayChange(text)) {
      nfc_.Append(text, &normalized);
      text = normalized;
    }
    if (normalized_matcher_.empty()) return EncodeNormalized(text, scratch, ids);
    normalized_matcher_.Match(text, [&](const AddedTokenMatcher::Split& split) {
      if (split.id >= 0) {
        ids->push_back(split.id);
      } else {
        EncodeNormalized(split.text, scratch, ids);
      }
    });
  }

  void EncodeNormalized(std::string_view text, BpeScratch* scratch,
                        std::vector<int32_t>* ids) const {
    SplitText(split_pattern_, classes_, text,
              [&](std::string_view piece) { bpe_.Encode(piece, scratch, ids); });
  }

  // In the order in which they are built from each other.
  const ByteAlphabet alphabet_;
  const unicode::Classes classes_;
  const unicode::Nfc nfc_;
  const Normalization normalization_;
  const SplitPattern split_pattern_;
  const AddedTokenMatcher raw_matcher_;
  const AddedTokenMatcher normalized_matcher_;
  const std::vector<int32_t> prefix_ids_;
  const std::vector<int32_t> suffix_ids_;
  const Vocabulary vocabulary_;
  const BpeModel bpe_;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
  std::optional<int32_t> pad_id_;
  mutable ScratchPool scratch_pool_;
};

Status CheckBytes(const TokenizerSpec& spec) {
  if (!spec.needs_all_bytes) return OkStatus();
  const ByteAlphabet alphabet;
  std::unordered_map<std::string_view, int32_t> ids;
  for (const auto& [spelling, id] : spec.vocab) ids.emplace(spelling, id);
  for (size_t byte = 0; byte < 256; ++byte) {
    const char as_char = static_cast<char>(byte);
    if (!ids.contains(alphabet.Spell({&as_char, 1}))) {
      return InvalidField(
          "tokenizer.json: model.unk_token", "set",
          fmt::format("null, because the vocabulary has no token for byte {}", byte));
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::filesystem::path& model_dir) {
  PHALANX_ASSIGN_OR_RETURN(TokenizerSpec spec, ReadTokenizerFiles(model_dir));
  PHALANX_RETURN_IF_ERROR(CheckBytes(spec));
  return std::make_unique<ByteLevelTokenizer>(std::move(spec));
}

}  // namespace phalanx
