// The classes of a code point, by one lookup in a two-level table.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "text/unicode/unicode_tables.h"

namespace phalanx::unicode {

enum Class : uint8_t {
  kLetter = 1,    // \p{L}
  kNumber = 2,    // \p{N}
  kSpace = 4,     // \s
  kWord = 8,      // \w
  kNewline = 16,  // \r and \n
  // NFC may change it, or what stands before it. Text without such code points is NFC as it is.
  kNfcSensitive = 32,
};

// Built from the range tables in about a millisecond, immutable afterwards.
class Classes {
 public:
  Classes();

  uint8_t Of(uint32_t code_point) const {
    return blocks_[size_t{index_[code_point >> kBlockBits]} << kBlockBits |
                   (code_point & (kBlockSize - 1))];
  }

 private:
  static constexpr uint32_t kBlockBits = 7;
  static constexpr uint32_t kBlockSize = 1u << kBlockBits;

  std::array<uint16_t, (kMaxCodePoint + 1) / kBlockSize> index_;
  std::vector<uint8_t> blocks_;
};

}  // namespace phalanx::unicode
