#include "text/utf8.h"

#include <cstring>

namespace phalanx {
namespace {

enum class Form { kComplete, kBroken, kUnfinished };

struct Sequence {
  Form form;
  size_t length_bytes;  // of the character, or of the maximal part of a broken or unfinished one
};

// The sequence at the start of `text`, which is not empty.
Sequence NextSequence(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Form::kComplete, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Form::kBroken, 1};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range is narrower where it would make an overlong form, a surrogate or too
  // large a value.
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Form::kUnfinished, i};
    if (byte(i) < low || byte(i) > high) return {Form::kBroken, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Form::kComplete, length};
}

size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  size_t i = 0;
  while (true) {
    i += AsciiPrefix(text.substr(i));
    if (i == text.size()) return std::nullopt;
    do {
      const Sequence sequence = NextSequence(text.substr(i));
      if (sequence.form != Form::kComplete) return i;
      i += sequence.length_bytes;
    } while (i < text.size() && static_cast<unsigned char>(text[i]) >= 0x80);
  }
}

void AppendLossyUtf8(std::string_view bytes, std::string* out, std::string* unfinished) {
  size_t i = 0;
  while (i < bytes.size()) {
    const size_t ascii = AsciiPrefix(bytes.substr(i));
    out->append(bytes, i, ascii);
    i += ascii;
    if (i == bytes.size()) return;
    const Sequence sequence = NextSequence(bytes.substr(i));
    if (sequence.form == Form::kComplete) {
      out->append(bytes, i, sequence.length_bytes);
    } else if (sequence.form == Form::kUnfinished && unfinished != nullptr) {
      unfinished->assign(bytes, i);
      return;
    } else {
      out->append(kReplacement);
    }
    i += sequence.length_bytes;
  }
}

void AppendCodePoint(uint32_t code_point, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  const auto continuation = [&](int shift) { put(0x80u | (code_point >> shift & 0x3Fu)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0u | code_point >> 6);
    continuation(0);
  } else if (code_point < 0x10000) {
    put(0xE0u | code_point >> 12);
    continuation(6);
    continuation(0);
  } else {
    put(0xF0u | code_point >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

}  // namespace phalanx
