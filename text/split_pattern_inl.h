// Implementation of SplitText; include text/split_pattern.h.
#pragma once

#include <cstdint>

#include "text/utf8.h"

namespace phalanx::internal {

// What one character of ASCII is; other characters are looked up in unicode::Classes.
struct AsciiClasses {
  constexpr AsciiClasses() {
    for (unsigned c = 0; c < 128; ++c) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      const bool digit = c >= '0' && c <= '9';
      const bool newline = c == '\r' || c == '\n';
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      flags[c] =
          static_cast<uint8_t>((letter ? unicode::kLetter : 0) | (digit ? unicode::kNumber : 0) |
                               (newline ? unicode::kNewline : 0) | (space ? unicode::kSpace : 0));
    }
  }
  uint8_t flags[128] = {};
};
inline constexpr AsciiClasses kAscii;

template <SplitPattern kPattern>
class Scanner {
 public:
  Scanner(const unicode::Classes& classes, std::string_view text)
      : classes_(classes), text_(text.data()), end_(text.size()) {}

  // Where the piece that begins at `begin` < end of text ends.
  size_t PieceEnd(size_t begin) const {
    const Char c = At(begin);
    const size_t next = begin + c.length;
    if (c.value == '\'') {
      if (const size_t length = ContractionLength(begin)) return begin + length;
    }
    if ((c.flags & unicode::kLetter) != 0) return RunEnd(next, unicode::kLetter);
    if ((c.flags & unicode::kNumber) != 0) return NumberEnd(next);
    if (kPattern == SplitPattern::kGpt2) {
      if (c.value == ' ' && next < end_) {
        const Char after = At(next);
        const size_t from = next + after.length;
        if ((after.flags & unicode::kLetter) != 0) return RunEnd(from, unicode::kLetter);
        if ((after.flags & unicode::kNumber) != 0) return RunEnd(from, unicode::kNumber);
        if ((after.flags & kNotOther) == 0) return OtherEnd(from);
      }
      if ((c.flags & unicode::kSpace) == 0) return OtherEnd(next);
      return SpaceEnd(begin);
    }
    if (next < end_ && (c.flags & unicode::kNewline) == 0) {
      const Char after = At(next);
      if ((after.flags & unicode::kLetter) != 0) {
        return RunEnd(next + after.length, unicode::kLetter);
      }
      if (c.value == ' ' && (after.flags & kNotOther) == 0) {
        return NewlinesEnd(OtherEnd(next + after.length));
      }
    }
    if ((c.flags & unicode::kSpace) == 0) return NewlinesEnd(OtherEnd(next));
    return SpaceEnd(begin);
  }

 private:
  struct Char {
    uint32_t value;
    uint32_t length;
    uint8_t flags;
  };

  static constexpr uint8_t kNotOther = unicode::kLetter | unicode::kNumber | unicode::kSpace;

  Char At(size_t i) const {
    const auto byte = static_cast<unsigned char>(text_[i]);
    if (byte < 0x80) return {byte, 1, kAscii.flags[byte]};
    const CodePoint cp = DecodeCodePoint(text_ + i);
    return {cp.value, cp.length_bytes, classes_.Of(cp.value)};
  }

  size_t RunEnd(size_t i, uint8_t flag) const {
    while (i < end_) {
      const Char c = At(i);
      if ((c.flags & flag) == 0) break;
      i += c.length;
    }
    return i;
  }

  size_t OtherEnd(size_t i) const {
    while (i < end_) {
      const Char c = At(i);
      if ((c.flags & kNotOther) != 0) break;
      i += c.length;
    }
    return i;
  }

  size_t NewlinesEnd(size_t i) const {
    while (i < end_ && (text_[i] == '\r' || text_[i] == '\n')) ++i;
    return i;
  }

  size_t NumberEnd(size_t i) const {
    if (kPattern == SplitPattern::kGpt2) return RunEnd(i, unicode::kNumber);
    if (kPattern == SplitPattern::kQwen2) return i;
    for (int digits = 1; digits < 3 && i < end_; ++digits) {
      const Char c = At(i);
      if ((c.flags & unicode::kNumber) == 0) break;
      i += c.length;
    }
    return i;
  }

  // \s*[\r\n]+ (not GPT-2), else \s+(?!\S), else \s+, at white space.
  size_t SpaceEnd(size_t begin) const {
    size_t i = begin;
    size_t last = begin;           // where the run's last character begins
    size_t after_newline = begin;  // behind the run's last newline
    while (i < end_) {
      const Char c = At(i);
      if ((c.flags & unicode::kSpace) == 0) break;
      last = i;
      i += c.length;
      if ((c.flags & unicode::kNewline) != 0) after_newline = i;
    }
    if (kPattern != SplitPattern::kGpt2 && after_newline != begin) return after_newline;
    // The last space is left to the word that follows it.
    return i == end_ || last == begin ? i : last;
  }

  // 's 't 'm 'd 're 've 'll; without regard to case (and then U+017F, whose fold is s, is an s) but
  // for GPT-2.
  size_t ContractionLength(size_t apostrophe) const {
    const char* p = text_ + apostrophe + 1;
    const size_t left = end_ - apostrophe - 1;
    if (left == 0) return 0;
    const auto fold = [](char c) {
      return kPattern != SplitPattern::kGpt2 && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20)
                                                                     : c;
    };
    const char first = fold(p[0]);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (left < 2) return 0;
    const char second = fold(p[1]);
    if (second == 'e' && (first == 'r' || first == 'v')) return 3;
    if (second == 'l' && first == 'l') return 3;
    if (kPattern != SplitPattern::kGpt2 && p[0] == '\xC5' && p[1] == '\xBF') return 3;
    return 0;
  }

  const unicode::Classes& classes_;
  const char* text_;
  size_t end_;
};

template <SplitPattern kPattern, typename OnPiece>
void SplitWith(const unicode::Classes& classes, std::string_view text, OnPiece&& on_piece) {
  const Scanner<kPattern> scanner(classes, text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = scanner.PieceEnd(begin);
    on_piece(text.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace phalanx::internal

namespace phalanx {

template <typename OnPiece>
void SplitText(SplitPattern pattern, const unicode::Classes& classes, std::string_view text,
               OnPiece&& on_piece) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return internal::SplitWith<SplitPattern::kGpt2>(classes, text, on_piece);
    case SplitPattern::kQwen2:
      return internal::SplitWith<SplitPattern::kQwen2>(classes, text, on_piece);
    case SplitPattern::kLlama3:
      return internal::SplitWith<SplitPattern::kLlama3>(classes, text, on_piece);
  }
}

}  // namespace phalanx
