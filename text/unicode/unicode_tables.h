// Unicode data as the Hugging Face `tokenizers` library sees it; unicode_tables.cc is written by
// generate_tables.py.
#pragma once

#include <cstdint>
#include <span>

namespace phalanx::unicode {

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;

struct CodePointRange {
  uint32_t first;
  uint32_t last;  // inclusive
};

struct CombiningClassRange {
  uint32_t first;
  uint32_t last;            // inclusive
  uint8_t combining_class;  // the classes that occur, numbered from 1 in their order
};

// code_point = first (which may decompose further) followed by second, or first alone where second
// is 0.
struct Decomposition {
  uint32_t code_point;
  uint32_t first;
  uint32_t second;
  bool composes;  // NFC puts first and second together again
};

// All in ascending order, without overlaps.
std::span<const CodePointRange> LetterRanges();  // \p{L}
std::span<const CodePointRange> NumberRanges();  // \p{N}
std::span<const CodePointRange> SpaceRanges();   // \s
std::span<const CodePointRange> WordRanges();    // \w, what may not touch a single_word added token
std::span<const CombiningClassRange> CombiningClassRanges();
std::span<const Decomposition>
Decompositions();  // without Hangul syllables, which follow a formula

}  // namespace phalanx::unicode
