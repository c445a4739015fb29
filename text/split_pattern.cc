#include "text/split_pattern.h"

namespace phalanx {
namespace {

struct NamedRegex {
  std::string_view name;
  std::string_view regex;
  SplitPattern pattern;
};

constexpr NamedRegex kRegexes[] = {
    {"Qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::kQwen2},
    {"Llama 3",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::kLlama3},
    {"GPT-2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     SplitPattern::kGpt2},
};

}  // namespace

std::optional<SplitPattern> SplitPatternFromRegex(std::string_view regex) {
  for (const NamedRegex& known : kRegexes) {
    if (known.regex == regex) return known.pattern;
  }
  return std::nullopt;
}

std::string SupportedSplitRegexes() {
  std::string out;
  for (const NamedRegex& known : kRegexes) {
    if (!out.empty()) out += ", ";
    out.append(known.name).append("'s ").append(known.regex);
  }
  return out;
}

}  // namespace phalanx
