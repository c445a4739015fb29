#include "text/jinja/python_text.h"

#include <algorithm>

#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The byte where code point `index` begins; the end for what lies behind.
size_t Offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    do {
      ++at;
    } while (at < text.size() && IsContinuation(text[at]));
  }
  return at;
}

uint32_t First(std::string_view text) { return DecodeCodePoint(text.data()).value; }

// The line end that begins at `at`: its bytes, or 0.
size_t LineEndBytes(std::string_view text, size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  if (c == '\r') return text.substr(at).starts_with("\r\n") ? 2 : 1;
  if ((c >= '\n' && c <= '\f') || (c >= 0x1C && c <= 0x1E)) return 1;
  if (c < 0xC2) return 0;
  const uint32_t point = First(text.substr(at));
  if (point == 0x85) return 2;
  return point == 0x2028 || point == 0x2029 ? 3 : 0;
}

// The length of the white space that `text` begins with.
size_t LeadingSpace(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = DecodeCodePoint(text.data() + at);
    if (!IsSpace(point.value)) break;
    at += point.length_bytes;
  }
  return at;
}

size_t LeadingWord(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = DecodeCodePoint(text.data() + at);
    if (IsSpace(point.value)) break;
    at += point.length_bytes;
  }
  return at;
}

std::vector<std::string_view> SplitAtSpace(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text.remove_prefix(LeadingSpace(text));
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);
      break;
    }
    const size_t length = LeadingWord(text);
    parts.push_back(text.substr(0, length));
    text.remove_prefix(length);
    text.remove_prefix(LeadingSpace(text));
  }
  return parts;
}

std::vector<std::string_view> SplitAtSpaceFromRight(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text = Strip(text, Side::kRight);
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t previous = PreviousCodePoint(text, begin);
      if (IsSpace(First(text.substr(previous)))) break;
      begin = previous;
    }
    parts.push_back(text.substr(begin));
    text = Strip(text.substr(0, begin), Side::kRight);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

bool IsAscii(std::string_view text) {
  unsigned char any = 0;
  for (const char c : text) any |= static_cast<unsigned char>(c);
  return any < 0x80;
}

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += IsContinuation(c) ? 0 : 1;
  return count;
}

std::string SliceCodePoints(std::string_view text, int64_t from, int64_t to) {
  if (from >= to) return "";
  if (IsAscii(text)) {
    return std::string(text.substr(static_cast<size_t>(from), static_cast<size_t>(to - from)));
  }
  text.remove_prefix(Offset(text, from));
  return std::string(text.substr(0, Offset(text, to - from)));
}

CodePoints::CodePoints(std::string_view text) : text_(text), is_ascii_(IsAscii(text)) {
  if (is_ascii_) return;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!IsContinuation(text[i])) starts_.push_back(i);
  }
  starts_.push_back(text.size());
}

std::u32string Decode(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeCodePoint(text.data() + at);
    points.push_back(point.value);
    at += point.length_bytes;
  }
  return points;
}

std::string_view Strip(std::string_view text, Side side,
                       std::optional<std::string_view> characters) {
  const auto goes = [&](std::string_view character) {
    if (characters) return characters->find(character) != std::string_view::npos;
    return IsSpace(First(character));
  };
  if (side != Side::kRight) {
    while (!text.empty()) {
      const size_t length = DecodeCodePoint(text.data()).length_bytes;
      if (!goes(text.substr(0, length))) break;
      text.remove_prefix(length);
    }
  }
  if (side != Side::kLeft) {
    while (!text.empty()) {
      const size_t last = PreviousCodePoint(text, text.size());
      if (!goes(text.substr(last))) break;
      text.remove_suffix(text.size() - last);
    }
  }
  return text;
}

std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t most) {
  if (!separator) return SplitAtSpace(text, most);
  std::vector<std::string_view> parts;
  for (size_t at; most != 0 && (at = text.find(*separator)) != std::string_view::npos; --most) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> SplitFromRight(std::string_view text,
                                             std::optional<std::string_view> separator,
                                             int64_t most) {
  if (!separator) return SplitAtSpaceFromRight(text, most);
  std::vector<std::string_view> parts;
  for (size_t at; most != 0 && (at = text.rfind(*separator)) != std::string_view::npos; --most) {
    parts.push_back(text.substr(at + separator->size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text, LineEnds line_ends) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = LineEndBytes(text, at);
    if (end == 0) {
      ++at;
      continue;
    }
    lines.push_back(text.substr(0, line_ends == LineEnds::kKeep ? at + end : at));
    text.remove_prefix(at + end);
    at = 0;
  }
  if (!text.empty()) lines.push_back(text);
  return lines;
}

std::string Replace(std::string_view text, std::string_view old_part, std::string_view new_part,
                    int64_t most) {
  std::string out;
  const auto check = [&out] {
    if (out.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
    }
  };
  if (old_part.empty()) {  // before every character, and at the end
    for (size_t at = 0; most != 0; --most) {
      out += new_part;
      check();
      if (at == text.size()) return out;
      const size_t length = DecodeCodePoint(text.data() + at).length_bytes;
      out += text.substr(at, length);
      at += length;
      if (most == 1) return out.append(text.substr(at));
    }
    return std::string(text);
  }
  for (size_t at; most != 0 && (at = text.find(old_part)) != std::string_view::npos; --most) {
    out += text.substr(0, at);
    out += new_part;
    check();
    text.remove_prefix(at + old_part.size());
  }
  return out.append(text);
}

int64_t CountParts(std::string_view text, std::string_view part) {
  if (part.empty()) return static_cast<int64_t>(CountCodePoints(text)) + 1;
  int64_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) {
    ++count;
  }
  return count;
}

std::string Pad(std::string_view text, int64_t width, std::string_view fill, Align align) {
  const auto length = static_cast<int64_t>(CountCodePoints(text));
  if (width <= length) return std::string(text);
  if (width > static_cast<int64_t>(kMaxStringBytes)) {
    Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
  }
  const int64_t missing = width - length;
  int64_t left = 0;
  if (align == Align::kRight) left = missing;
  // str.center puts the odd one on the left where the width is odd, too.
  if (align == Align::kCenter) left = missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

}  // namespace phalanx::jinja
