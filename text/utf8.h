// UTF-8 primitives. Well-formed means RFC 3629: shortest form, no surrogates, at most U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace phalanx {

// The offset of the first byte that begins no well-formed character; nullopt: all of `text` is
// UTF-8.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

// Appends `bytes` to `out`; every maximal part of a broken character becomes one U+FFFD (the
// Unicode Standard 3.9, "U+FFFD Substitution of Maximal Subparts"). An unfinished character at the
// end, at most 3 bytes, is broken too, unless `unfinished` is given: then it goes there instead.
void AppendLossyUtf8(std::string_view bytes, std::string* out, std::string* unfinished = nullptr);

struct CodePoint {
  uint32_t value;
  uint32_t length_bytes;
};

// The first code point of text that is known to be well-formed and not empty.
inline CodePoint DecodeCodePoint(const char* text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text);
  const uint32_t lead = p[0];
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1Fu) << 6 | (p[1] & 0x3Fu), 2};
  if (lead < 0xF0) return {(lead & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu), 3};
  return {(lead & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu), 4};
}

// The offset of the code point that ends at `end` > 0 in well-formed text.
inline size_t PreviousCodePoint(std::string_view text, size_t end) {
  do {
    --end;
  } while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

void AppendCodePoint(uint32_t code_point, std::string* out);

}  // namespace phalanx
