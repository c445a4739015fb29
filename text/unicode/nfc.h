// Normalization Form C (Unicode Standard Annex 15), equal to `tokenizers.normalizers.NFC`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/unicode/classes.h"

namespace phalanx::unicode {

// Immutable: every method may be called from any number of threads.
class Nfc {
 public:
  // `classes` must outlive this.
  explicit Nfc(const Classes& classes);

  // False: `text` (well-formed UTF-8) is its own NFC. True: it may not be.
  bool MayChange(std::string_view text) const;

  // Appends NFC(text) to `out`. Linear in the length of the text, whatever marks it holds.
  void Append(std::string_view text, std::string* out) const;

 private:
  struct Mark {
    uint32_t code_point;
    uint8_t combining_class;
  };

  void Decompose(uint32_t code_point, std::vector<Mark>* out) const;
  uint32_t Compose(uint32_t first, uint32_t second) const;  // 0: they do not
  uint8_t CombiningClass(uint32_t code_point) const;
  void AppendSegment(std::string_view segment, std::vector<Mark>* marks, std::string* out) const;

  const Classes& classes_;
  std::unordered_map<uint32_t, std::pair<uint32_t, uint32_t>> decompositions_;
  std::unordered_map<uint64_t, uint32_t> compositions_;  // first << 32 | second
  std::unordered_map<uint32_t, uint8_t> combining_classes_;
};

}  // namespace phalanx::unicode
