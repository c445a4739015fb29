#include <dlpack/dlpack.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <variant>

#include "grammar/grammar.h"
#include "grammar/task_runner.h"
#include "grammar/xgrammar_log.h"

namespace phalanx {
namespace {

constexpr int kMaxCompilers = 2;
constexpr size_t kMaxCached = 256;
constexpr size_t kMaxCachedBytes = size_t{256} << 20;
// As much white space as an indented document needs, not so much that a model gets lost in it.
constexpr int kMaxWhitespace = 32;

class Matcher final : public GrammarMatcher {
 public:
  Matcher(const xgrammar::CompiledGrammar& grammar, std::span<const int32_t> stop_ids)
      : matcher_(grammar, std::vector<int>(stop_ids.begin(), stop_ids.end())) {}

  bool Accept(int32_t token_id) override {
    return !matcher_.IsTerminated() && matcher_.AcceptToken(token_id);
  }

  Mask FillMask(std::span<uint32_t> words) override {
    auto size = static_cast<int64_t>(words.size());
    DLTensor tensor = {};
    tensor.data = words.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = {kDLInt, 32, 1};
    tensor.shape = &size;
    return matcher_.FillNextTokenBitmask(&tensor) ? Mask::kSome : Mask::kEverything;
  }

  bool finished() const override { return matcher_.IsTerminated(); }

 private:
  xgrammar::GrammarMatcher matcher_;
};

class Compiled final : public CompiledGrammar {
 public:
  explicit Compiled(xgrammar::CompiledGrammar grammar) : grammar_(std::move(grammar)) {}
  std::unique_ptr<GrammarMatcher> NewMatcher(std::span<const int32_t> stop_ids) const override {
    return std::make_unique<Matcher>(grammar_, stop_ids);
  }
  size_t bytes() const { return grammar_.MemorySizeBytes(); }

 private:
  xgrammar::CompiledGrammar grammar_;
};

// The choices as an alternation of literals in the library's EBNF.
std::string ChoiceGrammar(const std::vector<std::string>& choices) {
  std::string text = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) text += " | ";
    text += '"';
    for (const char c : choice) {
      switch (c) {
        case '"':
          text += "\\\"";
          break;
        case '\\':
          text += "\\\\";
          break;
        case '\n':
          text += "\\n";
          break;
        case '\r':
          text += "\\r";
          break;
        case '\t':
          text += "\\t";
          break;
        default:
          if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
            text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
          } else {
            text += c;
          }
      }
    }
    text += '"';
  }
  return text;
}

xgrammar::CompiledGrammar CompileJson(xgrammar::GrammarCompiler& compiler,
                                      const std::string& schema) {
  return compiler.CompileJSONSchema(schema, /*any_whitespace=*/true, /*indent=*/std::nullopt,
                                    /*separators=*/std::nullopt, /*strict_mode=*/true,
                                    kMaxWhitespace);
}

// A structural tag whose JSON has no more white space than other JSON, unless it says so itself.
void BoundWhitespace(nlohmann::ordered_json& format) {
  if (format.is_array()) {
    for (nlohmann::ordered_json& element : format) BoundWhitespace(element);
  }
  if (!format.is_object()) return;
  if (format.value("type", "") == "json_schema" && !format.contains("max_whitespace_cnt")) {
    format["max_whitespace_cnt"] = kMaxWhitespace;
  }
  for (const char* key : {"format", "content", "elements", "tags"}) {
    if (format.contains(key)) BoundWhitespace(format[key]);
  }
}

xgrammar::CompiledGrammar CompileTag(xgrammar::GrammarCompiler& compiler,
                                     const std::string& source) {
  auto tag = nlohmann::ordered_json::parse(source);  // keeps the order of properties
  BoundWhitespace(tag);
  return compiler.CompileStructuralTag(tag.dump());
}

xgrammar::CompiledGrammar CompileWith(xgrammar::GrammarCompiler& compiler,
                                      const GrammarSpec& spec) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return CompileJson(compiler, R"({"type": "object", "additionalProperties": true})");
    case GrammarSpec::Kind::kJsonSchema:
      return CompileJson(compiler, spec.source);
    case GrammarSpec::Kind::kRegex:
      return compiler.CompileRegex(spec.source);
    case GrammarSpec::Kind::kEbnf:
      return compiler.CompileGrammar(spec.source);
    case GrammarSpec::Kind::kStructuralTag:
      return CompileTag(compiler, spec.source);
    case GrammarSpec::Kind::kChoice:
      break;
  }
  return compiler.CompileGrammar(ChoiceGrammar(spec.choices));
}

// A message of the library's without what it quotes beyond a line, control characters or length.
std::string Tidy(std::string_view message) {
  constexpr size_t kMaxMessage = 200;
  std::string tidy;
  for (const char c : message.substr(0, kMaxMessage)) {
    if (c == '\n') break;
    tidy += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F ? '?' : c;
  }
  return tidy;
}

struct Outcome {
  std::shared_ptr<const Compiled> grammar;
  std::string error;  // where there is none
};

Outcome CompileGuarded(xgrammar::GrammarCompiler& compiler, const GrammarSpec& spec) {
  const XGrammarWarnings warnings;
  try {
    auto grammar = std::make_shared<const Compiled>(CompileWith(compiler, spec));
    // Branches of a oneOf that may overlap become an anyOf; whatever else the library would leave
    // out would let answers pass that do not fit.
    if (!warnings.first().empty() && warnings.first().find("oneOf") == std::string::npos) {
      return {nullptr, warnings.first()};
    }
    return {std::move(grammar), {}};
  } catch (const std::exception& error) {
    return {nullptr, error.what()};
  }
}

// A structural tag is text with JSON in it: the text may have what only bounded strings must not.
bool NeedsJsonVocabulary(const GrammarSpec& spec) {
  if (spec.kind == GrammarSpec::Kind::kStructuralTag) {
    return spec.source.find("Length\"") != std::string::npos ||
           spec.source.find("\"pattern\"") != std::string::npos;
  }
  return spec.kind == GrammarSpec::Kind::kJsonObject || spec.kind == GrammarSpec::Kind::kJsonSchema;
}

xgrammar::TokenizerInfo MakeTokenizer(const GrammarVocabulary& vocabulary) {
  return {vocabulary, xgrammar::VocabType::RAW, static_cast<int>(vocabulary.size()),
          std::vector<int32_t>{}};
}

// JSON's strings hold no bare control characters, but the library's bounded strings (maxLength)
// take all of them except line ends. Between strings JSON needs none but these.
GrammarVocabulary WithoutControlCharacters(GrammarVocabulary vocabulary) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; };
  for (std::string& bytes : vocabulary) {
    if (std::any_of(bytes.begin(), bytes.end(), is_control)) bytes.clear();
  }
  return vocabulary;
}

class Compiler final : public GrammarCompiler {
 public:
  Compiler(const GrammarVocabulary& vocabulary, const GrammarLimits& limits)
      : limits_(limits),
        tokenizer_(MakeTokenizer(vocabulary)),
        json_tokenizer_(MakeTokenizer(WithoutControlCharacters(vocabulary))),
        runner_(kMaxCompilers) {}

  StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const GrammarSpec& spec,
                                                           std::string_view field) override {
    PHALANX_RETURN_IF_ERROR(CheckGrammarSpec(spec, limits_, field));
    if (auto found = Find(spec)) return std::shared_ptr<const CompiledGrammar>(std::move(found));
    // Owned by the task, which may outlive this call.
    auto outcome = std::make_shared<Outcome>();
    const Status ran = runner_.Run(
        [outcome, spec, tokenizer = NeedsJsonVocabulary(spec) ? json_tokenizer_ : tokenizer_] {
          xgrammar::GrammarCompiler compiler(tokenizer, /*max_threads=*/1, /*cache_enabled=*/false);
          *outcome = CompileGuarded(compiler, spec);
        },
        std::chrono::milliseconds(limits_.compile_ms));
    if (ran.code() == StatusCode::kDeadlineExceeded) {
      return InvalidArgumentError("{}: {} to compile, allowed: up to that", field, ran.message())
          .WithField(field);
    }
    if (!ran.ok()) return ran.WithContext(field);
    if (outcome->grammar == nullptr) {
      return InvalidArgumentError("{}: {}", field, Tidy(outcome->error)).WithField(field);
    }
    Insert(spec, outcome->grammar);
    return std::shared_ptr<const CompiledGrammar>(outcome->grammar);
  }

 private:
  struct Entry {
    std::shared_ptr<const Compiled> grammar;
    std::list<GrammarSpec>::iterator place;
  };

  std::shared_ptr<const Compiled> Find(const GrammarSpec& spec) {
    std::lock_guard lock(mu_);
    const auto found = cache_.find(spec);
    if (found == cache_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, found->second.place);
    return found->second.grammar;
  }

  void Insert(const GrammarSpec& spec, std::shared_ptr<const Compiled> grammar) {
    std::lock_guard lock(mu_);
    if (cache_.contains(spec)) return;
    cached_bytes_ += grammar->bytes();
    recent_.push_front(spec);
    cache_.emplace(spec, Entry{std::move(grammar), recent_.begin()});
    while (cache_.size() > kMaxCached || (cached_bytes_ > kMaxCachedBytes && cache_.size() > 1)) {
      const auto oldest = cache_.find(recent_.back());
      cached_bytes_ -= oldest->second.grammar->bytes();
      cache_.erase(oldest);
      recent_.pop_back();
    }
  }

  const GrammarLimits limits_;
  const xgrammar::TokenizerInfo tokenizer_;
  const xgrammar::TokenizerInfo json_tokenizer_;
  std::mutex mu_;
  std::map<GrammarSpec, Entry> cache_;
  std::list<GrammarSpec> recent_;  // the most recently used first
  size_t cached_bytes_ = 0;
  TaskRunner runner_;
};

}  // namespace

StatusOr<std::unique_ptr<GrammarCompiler>> CreateGrammarCompiler(
    const GrammarVocabulary& vocabulary, const GrammarLimits& limits) {
  try {
    return std::make_unique<Compiler>(vocabulary, limits);
  } catch (const std::exception& error) {
    return InternalError("the grammar library refuses the vocabulary: {}", Tidy(error.what()));
  }
}

}  // namespace phalanx
