// The regular expressions that cut text into the pieces in which BPE works, as hand-written
// scanners: no expression engine, one pass, a bounded look ahead.
//
//   kGpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   kQwen2   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*
//            |\s*[\r\n]+|\s+(?!\S)|\s+
//   kLlama3  kQwen2 with \p{N}{1,3}
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "text/unicode/classes.h"

namespace phalanx {

enum class SplitPattern { kGpt2, kQwen2, kLlama3 };

// The pattern whose regular expression is spelled like this; nullopt: not supported.
std::optional<SplitPattern> SplitPatternFromRegex(std::string_view regex);

// "PATTERN (name), ..." for error messages.
std::string SupportedSplitRegexes();

// Calls `on_piece(std::string_view)` for the pieces of `text` in order; together they are the text.
// `text` is well-formed UTF-8. Linear: white space is looked at twice at most, everything else
// once.
template <typename OnPiece>
void SplitText(SplitPattern pattern, const unicode::Classes& classes, std::string_view text,
               OnPiece&& on_piece);

}  // namespace phalanx

#include "text/split_pattern_inl.h"
