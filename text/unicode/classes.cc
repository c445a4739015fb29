#include "text/unicode/classes.h"

#include <map>
#include <span>
#include <string_view>

namespace phalanx::unicode {
namespace {

template <typename Range>
void Mark(std::span<const Range> ranges, Class flag, std::vector<uint8_t>* flags) {
  for (const Range& range : ranges) {
    for (uint32_t cp = range.first; cp <= range.last; ++cp) {
      (*flags)[cp] = static_cast<uint8_t>((*flags)[cp] | flag);
    }
  }
}

}  // namespace

Classes::Classes() {
  std::vector<uint8_t> flags(kMaxCodePoint + 1, 0);
  const auto mark = [&](uint32_t cp, Class flag) {
    flags[cp] = static_cast<uint8_t>(flags[cp] | flag);
  };
  Mark(LetterRanges(), kLetter, &flags);
  Mark(NumberRanges(), kNumber, &flags);
  Mark(SpaceRanges(), kSpace, &flags);
  Mark(WordRanges(), kWord, &flags);
  mark('\r', kNewline);
  mark('\n', kNewline);

  Mark(CombiningClassRanges(), kNfcSensitive, &flags);
  for (const Decomposition& row : Decompositions()) {
    if (row.composes) {
      mark(row.second, kNfcSensitive);
    } else {
      mark(row.code_point, kNfcSensitive);
    }
  }
  // Vowels and trailing consonants of Hangul compose with what stands before them.
  constexpr CodePointRange kConjoiningJamo[] = {{0x1161, 0x1175}, {0x11A7, 0x11C2}};
  Mark(std::span<const CodePointRange>(kConjoiningJamo), kNfcSensitive, &flags);

  std::map<std::string_view, uint16_t> known_blocks;  // views into flags
  for (size_t i = 0; i < index_.size(); ++i) {
    const uint8_t* block = flags.data() + i * kBlockSize;
    const std::string_view content(reinterpret_cast<const char*>(block), kBlockSize);
    const auto [it, is_new] =
        known_blocks.try_emplace(content, static_cast<uint16_t>(known_blocks.size()));
    if (is_new) blocks_.insert(blocks_.end(), block, block + kBlockSize);
    index_[i] = it->second;
  }
}

}  // namespace phalanx::unicode
