// The alphabet of byte-level BPE (Radford et al. 2019): each byte has one printable character that
// stands for it in the vocabulary's spelling. Printable bytes of Latin-1 stand for themselves, the
// others for U+0100 and on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace phalanx {

class ByteAlphabet {
 public:
  ByteAlphabet();

  uint32_t CodePointOf(uint8_t byte) const { return code_points_[byte]; }
  std::string Spell(std::string_view bytes) const;

  // The bytes that `token` (well-formed UTF-8) spells, or, where one of its characters is not in
  // the alphabet, the bytes of `token` itself: Hugging Face's decoder.
  std::string BytesOf(std::string_view token) const;

 private:
  static constexpr uint32_t kEnd = 0x144;

  std::array<uint32_t, 256> code_points_;
  std::array<int16_t, kEnd> bytes_;  // by code point, -1: not in the alphabet
};

}  // namespace phalanx
