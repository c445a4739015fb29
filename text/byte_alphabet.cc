#include "text/byte_alphabet.h"

#include "text/utf8.h"

namespace phalanx {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    code_points_[byte] = is_printable ? byte : next++;
    bytes_[code_points_[byte]] = static_cast<int16_t>(byte);
  }
}

std::string ByteAlphabet::Spell(std::string_view bytes) const {
  std::string out;
  for (const char c : bytes) AppendCodePoint(CodePointOf(static_cast<uint8_t>(c)), &out);
  return out;
}

std::string ByteAlphabet::BytesOf(std::string_view token) const {
  std::string out;
  for (size_t i = 0; i < token.size();) {
    const CodePoint cp = DecodeCodePoint(token.data() + i);
    if (cp.value >= kEnd || bytes_[cp.value] < 0) return std::string(token);
    out.push_back(static_cast<char>(bytes_[cp.value]));
    i += cp.length_bytes;
  }
  return out;
}

}  // namespace phalanx
