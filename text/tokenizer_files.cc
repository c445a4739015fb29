#include "text/tokenizer_files.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "text/json_file.h"
#include "text/vocab_reader.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxUnusedIds = 65'536;

// Refuses a member that changes the result unless it is null, or equal to one of `harmless`.
Status CheckOnly(const JsonField& field, std::initializer_list<Json> harmless,
                 std::string_view allowed) {
  if (field.IsNull()) return OkStatus();
  if (std::find(harmless.begin(), harmless.end(), field.value()) != harmless.end()) {
    return OkStatus();
  }
  return field.Refuse(allowed);
}

StatusOr<std::string> TypeOf(const JsonField& field) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject());
  return field.Member("type").String();
}

Status ReadModel(const JsonField& model, TokenizerSpec* spec, VocabIndex* index) {
  PHALANX_RETURN_IF_ERROR(model.CheckObject());
  PHALANX_RETURN_IF_ERROR(CheckOnly(model.Member("type"), {"BPE"}, "\"BPE\""));
  PHALANX_RETURN_IF_ERROR(CheckOnly(model.Member("dropout"), {0.0}, "null or 0"));
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    PHALANX_RETURN_IF_ERROR(CheckOnly(model.Member(name), {""}, "null or \"\""));
  }
  PHALANX_RETURN_IF_ERROR(CheckOnly(model.Member("byte_fallback"), {false}, "false"));
  spec->needs_all_bytes = !model.Member("unk_token").IsNull();
  PHALANX_ASSIGN_OR_RETURN(const bool ignore_merges, model.Member("ignore_merges").Bool(false));
  spec->whole_pieces = ignore_merges ? WholePieces::kTakenAsIs : WholePieces::kByMerges;
  PHALANX_RETURN_IF_ERROR(ReadVocab(model.Member("vocab"), &spec->vocab, index));
  return ReadMergesJson(model.Member("merges"), *index, &spec->merges);
}

Status ReadNormalizer(const JsonField& field, TokenizerSpec* spec) {
  if (field.IsNull()) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(const std::string type, TypeOf(field));
  if (type == "NFC") {
    spec->normalization = Normalization::kNfc;
    return OkStatus();
  }
  if (type == "Sequence") {
    const JsonField parts = field.Member("normalizers");
    PHALANX_RETURN_IF_ERROR(parts.CheckArray());
    for (size_t i = 0; i < parts.value().size(); ++i) {
      PHALANX_RETURN_IF_ERROR(ReadNormalizer(parts.Element(i), spec));
    }
    return OkStatus();
  }
  return field.Member("type").Refuse("null, \"NFC\" or a \"Sequence\" of them");
}

Status CheckByteLevel(const JsonField& field, std::initializer_list<Json> use_regex,
                      std::string_view use_regex_allowed) {
  PHALANX_RETURN_IF_ERROR(CheckOnly(field.Member("type"), {"ByteLevel"}, "\"ByteLevel\""));
  // Absent means true for both.
  const JsonField prefix = field.Member("add_prefix_space");
  if (prefix.value() != false) return prefix.Refuse("false");
  const JsonField regex = field.Member("use_regex");
  const Json value = regex.IsNull() ? Json(true) : regex.value();
  if (std::find(use_regex.begin(), use_regex.end(), value) == use_regex.end()) {
    return regex.Refuse(use_regex_allowed);
  }
  return OkStatus();
}

Status ReadPreTokenizer(const JsonField& field, TokenizerSpec* spec) {
  constexpr std::string_view kAllowed =
      "\"ByteLevel\", or a \"Sequence\" of a \"Split\" and a \"ByteLevel\"";
  if (field.IsNull()) return field.Refuse(kAllowed);
  PHALANX_ASSIGN_OR_RETURN(const std::string type, TypeOf(field));
  if (type == "ByteLevel") {
    spec->split_pattern = SplitPattern::kGpt2;
    return CheckByteLevel(field, {true}, "true where there is no \"Split\"");
  }
  if (type != "Sequence") return field.Member("type").Refuse(kAllowed);
  const JsonField parts = field.Member("pretokenizers");
  PHALANX_RETURN_IF_ERROR(parts.CheckArray());
  if (parts.value().size() == 1) return ReadPreTokenizer(parts.Element(0), spec);
  if (parts.value().size() != 2) return parts.Refuse(kAllowed);
  const JsonField split = parts.Element(0);
  PHALANX_RETURN_IF_ERROR(split.CheckObject());
  PHALANX_RETURN_IF_ERROR(CheckOnly(split.Member("type"), {"Split"}, "\"Split\""));
  PHALANX_RETURN_IF_ERROR(CheckOnly(split.Member("behavior"), {"Isolated"}, "\"Isolated\""));
  PHALANX_RETURN_IF_ERROR(CheckOnly(split.Member("invert"), {false}, "false"));
  const JsonField regex = split.Member("pattern").Member("Regex");
  PHALANX_ASSIGN_OR_RETURN(const std::string spelled, regex.String());
  const std::optional<SplitPattern> pattern = SplitPatternFromRegex(spelled);
  if (!pattern) return InvalidField(regex.path(), Json(spelled).dump(), SupportedSplitRegexes());
  spec->split_pattern = *pattern;
  return CheckByteLevel(parts.Element(1), {false}, "false behind a \"Split\"");
}

Status ReadTemplate(const JsonField& field, TokenizerSpec* spec) {
  const JsonField single = field.Member("single");
  PHALANX_RETURN_IF_ERROR(single.CheckArray());
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
  bool is_behind_text = false;
  for (size_t i = 0; i < single.value().size(); ++i) {
    const JsonField part = single.Element(i);
    PHALANX_RETURN_IF_ERROR(part.CheckObject());
    if (const JsonField sequence = part.Member("Sequence"); !sequence.IsNull()) {
      const JsonField id = sequence.Member("id");
      if (id.value() != "A" || is_behind_text) return id.Refuse("\"A\", once");
      is_behind_text = true;
      continue;
    }
    PHALANX_ASSIGN_OR_RETURN(const std::string name,
                             part.Member("SpecialToken").Member("id").String());
    const JsonField ids = field.Member("special_tokens").Member(name).Member("ids");
    PHALANX_RETURN_IF_ERROR(ids.CheckArray());
    for (size_t j = 0; j < ids.value().size(); ++j) {
      PHALANX_ASSIGN_OR_RETURN(const int32_t id, ids.Element(j).Int(0, kMaxTokenId));
      (is_behind_text ? suffix : prefix).push_back(id);
    }
  }
  if (!is_behind_text) return single.Refuse("a \"Sequence\" \"A\"");
  // A later template of a sequence of post-processors goes around an earlier one's result.
  spec->prefix_ids.insert(spec->prefix_ids.begin(), prefix.begin(), prefix.end());
  spec->suffix_ids.insert(spec->suffix_ids.end(), suffix.begin(), suffix.end());
  return OkStatus();
}

Status ReadPostProcessor(const JsonField& field, TokenizerSpec* spec) {
  if (field.IsNull()) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(const std::string type, TypeOf(field));
  if (type == "ByteLevel") return OkStatus();  // it only moves offsets
  if (type == "TemplateProcessing") return ReadTemplate(field, spec);
  if (type == "Sequence") {
    const JsonField parts = field.Member("processors");
    PHALANX_RETURN_IF_ERROR(parts.CheckArray());
    for (size_t i = 0; i < parts.value().size(); ++i) {
      PHALANX_RETURN_IF_ERROR(ReadPostProcessor(parts.Element(i), spec));
    }
    return OkStatus();
  }
  return field.Member("type").Refuse(
      "null, \"ByteLevel\", \"TemplateProcessing\" or a \"Sequence\" of them");
}

StatusOr<AddedToken> ReadAddedToken(const JsonField& field) {
  AddedToken token;
  PHALANX_RETURN_IF_ERROR(field.CheckObject());
  PHALANX_ASSIGN_OR_RETURN(token.content, field.Member("content").String());
  if (token.content.empty()) return field.Member("content").Refuse("at least one character");
  PHALANX_ASSIGN_OR_RETURN(token.special, field.Member("special").Bool(false));
  PHALANX_ASSIGN_OR_RETURN(token.normalized, field.Member("normalized").Bool(!token.special));
  PHALANX_ASSIGN_OR_RETURN(token.lstrip, field.Member("lstrip").Bool(false));
  PHALANX_ASSIGN_OR_RETURN(token.rstrip, field.Member("rstrip").Bool(false));
  PHALANX_ASSIGN_OR_RETURN(token.single_word, field.Member("single_word").Bool(false));
  return token;
}

// An added token has the id that the vocabulary gives it, or a new one.
class AddedTokenReader {
 public:
  AddedTokenReader(const VocabIndex& index, TokenizerSpec* spec) : index_(index), spec_(spec) {}

  Status Add(const JsonField& where, AddedToken token) {
    const auto known = index_.find(token.content);
    if (known != index_.end() && known->second != token.id) {
      return InvalidField(where.path(), token.id,
                          fmt::format("{}, the vocabulary's id of this token", known->second));
    }
    if (!ids_.insert(token.id).second || !contents_.insert(token.content).second) {
      return InvalidField(where.path(), fmt::format("{} {}", token.id, Shown(token.content)),
                          "each id and each content once");
    }
    spec_->added_tokens.push_back(std::move(token));
    return OkStatus();
  }

 private:
  const VocabIndex& index_;
  TokenizerSpec* const spec_;
  std::unordered_set<int32_t> ids_;
  std::unordered_set<std::string> contents_;
};

Status CheckIds(TokenizerSpec* spec, const VocabIndex& index, const std::string& file) {
  std::unordered_set<int32_t> vocab_ids;
  for (const auto& [token, id] : spec->vocab) vocab_ids.insert(id);
  for (const AddedToken& token : spec->added_tokens) {
    if (vocab_ids.contains(token.id) && !index.contains(token.content)) {
      return InvalidField(file + ": added token " + Shown(token.content), token.id,
                          "an id that no token of the vocabulary has");
    }
  }
  for (const AddedToken& token : spec->added_tokens) vocab_ids.insert(token.id);
  // There will be a table by id: ids may leave gaps, but a small file may not make it large.
  const size_t end = kMaxUnusedIds + 4 * vocab_ids.size();
  for (const int32_t id : vocab_ids) {
    if (static_cast<size_t>(id) < end) continue;
    return InvalidField(
        file + ": id", id,
        fmt::format("less than {} where there are {} tokens", end, vocab_ids.size()));
  }
  for (const std::vector<int32_t>* ids : {&spec->prefix_ids, &spec->suffix_ids}) {
    for (const int32_t id : *ids) {
      if (!vocab_ids.contains(id)) {
        return InvalidField(file + ": post_processor.special_tokens", id, "the id of a token");
      }
    }
  }
  return OkStatus();
}

Status ReadTokenizerJson(const std::filesystem::path& path, TokenizerSpec* spec) {
  PHALANX_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  const JsonField root(json, "tokenizer.json: ");
  PHALANX_RETURN_IF_ERROR(root.CheckObject());
  VocabIndex index;
  PHALANX_RETURN_IF_ERROR(ReadModel(root.Member("model"), spec, &index));
  spec->normalization = Normalization::kNone;
  PHALANX_RETURN_IF_ERROR(ReadNormalizer(root.Member("normalizer"), spec));
  PHALANX_RETURN_IF_ERROR(ReadPreTokenizer(root.Member("pre_tokenizer"), spec));
  PHALANX_RETURN_IF_ERROR(ReadPostProcessor(root.Member("post_processor"), spec));
  const JsonField decoder = root.Member("decoder");
  PHALANX_ASSIGN_OR_RETURN(const std::string decoder_type, TypeOf(decoder));
  if (decoder_type != "ByteLevel") return decoder.Member("type").Refuse("\"ByteLevel\"");
  // truncation and padding are defaults of a batch interface and do not apply to a prompt.

  const JsonField added = root.Member("added_tokens");
  if (!added.IsNull()) PHALANX_RETURN_IF_ERROR(added.CheckArray());
  AddedTokenReader reader(index, spec);
  for (size_t i = 0; i < added.value().size(); ++i) {
    const JsonField field = added.Element(i);
    PHALANX_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(field));
    PHALANX_ASSIGN_OR_RETURN(token.id, field.Member("id").Int(0, kMaxTokenId));
    PHALANX_RETURN_IF_ERROR(reader.Add(field.Member("id"), std::move(token)));
  }
  return CheckIds(spec, index, "tokenizer.json");
}

// The text of a special token: a string or an object with "content".
StatusOr<std::optional<std::string>> ReadTokenText(const JsonField& field) {
  if (field.IsNull()) return std::optional<std::string>();
  const JsonField content = field.value().is_object() ? field.Member("content") : field;
  PHALANX_ASSIGN_OR_RETURN(std::string text, content.String());
  return std::optional<std::string>(std::move(text));
}

Status ReadNamedTokens(const JsonField& config, TokenizerSpec* spec) {
  PHALANX_RETURN_IF_ERROR(config.CheckObject());
  PHALANX_ASSIGN_OR_RETURN(spec->bos_token, ReadTokenText(config.Member("bos_token")));
  PHALANX_ASSIGN_OR_RETURN(spec->eos_token, ReadTokenText(config.Member("eos_token")));
  PHALANX_ASSIGN_OR_RETURN(spec->pad_token, ReadTokenText(config.Member("pad_token")));
  return OkStatus();
}

// vocab.json, merges.txt and, for everything else, tokenizer_config.json.
Status ReadVocabAndMerges(const std::filesystem::path& model_dir, const JsonField& config,
                          TokenizerSpec* spec) {
  const JsonField tokenizer_class = config.Member("tokenizer_class");
  if (tokenizer_class.value() == "GPT2Tokenizer" ||
      tokenizer_class.value() == "GPT2TokenizerFast") {
    spec->split_pattern = SplitPattern::kGpt2;
    spec->normalization = Normalization::kNone;
  } else {
    PHALANX_RETURN_IF_ERROR(CheckOnly(tokenizer_class, {"Qwen2Tokenizer", "Qwen2TokenizerFast"},
                                      "\"Qwen2Tokenizer\", \"GPT2Tokenizer\" or their Fast forms, "
                                      "where there is no tokenizer.json"));
    spec->split_pattern = SplitPattern::kQwen2;
    spec->normalization = Normalization::kNfc;
  }
  PHALANX_RETURN_IF_ERROR(CheckOnly(config.Member("add_prefix_space"), {false}, "false"));
  PHALANX_RETURN_IF_ERROR(CheckOnly(config.Member("split_special_tokens"), {false}, "false"));

  VocabIndex index;
  {
    PHALANX_ASSIGN_OR_RETURN(const Json vocab, ReadJsonFile(model_dir / "vocab.json"));
    PHALANX_RETURN_IF_ERROR(ReadVocab(JsonField(vocab, "vocab.json"), &spec->vocab, &index));
  }
  PHALANX_ASSIGN_OR_RETURN(const std::string merges, ReadTextFile(model_dir / "merges.txt"));
  PHALANX_RETURN_IF_ERROR(ReadMergesText(merges, index, &spec->merges));

  const JsonField added = config.Member("added_tokens_decoder");
  if (added.IsNull()) return OkStatus();
  PHALANX_RETURN_IF_ERROR(added.CheckObject());
  AddedTokenReader reader(index, spec);
  for (const auto& [key, value] : added.value().items()) {
    const JsonField field = added.Member(key);
    PHALANX_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(field));
    const Json id = Json::parse(key, nullptr, /*allow_exceptions=*/false);
    PHALANX_ASSIGN_OR_RETURN(token.id, JsonField(id, field.path()).Int(0, kMaxTokenId));
    PHALANX_RETURN_IF_ERROR(reader.Add(field, std::move(token)));
  }
  return CheckIds(spec, index, "tokenizer_config.json");
}

}  // namespace

StatusOr<TokenizerSpec> ReadTokenizerFiles(const std::filesystem::path& model_dir) {
  TokenizerSpec spec;
  Json config_json = Json::object();
  std::error_code ignored;
  if (std::filesystem::exists(model_dir / "tokenizer_config.json", ignored)) {
    PHALANX_ASSIGN_OR_RETURN(config_json, ReadJsonFile(model_dir / "tokenizer_config.json"));
  }
  const JsonField config(config_json, "tokenizer_config.json: ");
  PHALANX_RETURN_IF_ERROR(ReadNamedTokens(config, &spec));
  if (std::filesystem::exists(model_dir / "tokenizer.json", ignored)) {
    PHALANX_RETURN_IF_ERROR(ReadTokenizerJson(model_dir / "tokenizer.json", &spec));
  } else if (std::filesystem::exists(model_dir / "vocab.json", ignored)) {
    PHALANX_RETURN_IF_ERROR(ReadVocabAndMerges(model_dir, config, &spec));
  } else {
    return NotFoundError("{}: has no tokenizer.json, and no vocab.json with merges.txt",
                         model_dir.string());
  }
  return spec;
}

}  // namespace phalanx
