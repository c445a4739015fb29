// The character classes and case conversions of python_text.h.
#include <algorithm>

#include "text/jinja/python_text.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

constexpr uint32_t kSigma = 0x3A3;
constexpr uint32_t kFinalSigma = 0x3C2;

// The last run that begins at or before the code point; nullptr: none.
template <typename T>
const T* RunAt(std::span<const T> runs, uint32_t code_point) {
  const auto behind =
      std::upper_bound(runs.begin(), runs.end(), code_point,
                       [](uint32_t point, const T& run) { return point < run.first; });
  if (behind == runs.begin()) return nullptr;
  const T& run = *(behind - 1);
  const bool hit = code_point <= run.last && (code_point - run.first) % run.step == 0;
  return hit ? &run : nullptr;
}

void AppendConverted(uint32_t code_point, LetterCase letter_case, std::string* out) {
  if (code_point < 0x80) {
    const auto c = static_cast<char>(code_point);
    if (letter_case == LetterCase::kLower) {
      out->push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    } else {
      out->push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    }
    return;
  }
  const CaseTable table = TableOf(letter_case);
  const auto special = std::lower_bound(
      table.specials.begin(), table.specials.end(), code_point,
      [](const SpecialCase& entry, uint32_t point) { return entry.code_point < point; });
  if (special != table.specials.end() && special->code_point == code_point) {
    *out += special->text;
    return;
  }
  if (const CaseSpan* run = RunAt(table.spans, code_point)) {
    code_point += static_cast<uint32_t>(run->delta);
  }
  AppendCodePoint(code_point, out);
}

// A capital sigma at the end of a word has a lower case of its own (Unicode's Final_Sigma).
void AppendLower(const std::u32string& points, size_t i, std::string* out) {
  if (points[i] != kSigma) return AppendConverted(points[i], LetterCase::kLower, out);
  const bool before = i > 0 && IsCased(points[i - 1]);
  const bool behind = i + 1 < points.size() && IsCased(points[i + 1]);
  if (before && !behind) return AppendCodePoint(kFinalSigma, out);
  AppendConverted(points[i], LetterCase::kLower, out);
}

}  // namespace

bool IsIn(CharacterClass character_class, uint32_t code_point) {
  return RunAt(SpansOf(character_class), code_point) != nullptr;
}

bool IsSpace(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsAlphanumeric(uint32_t c) {
  if (c < 0x80) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  }
  return IsIn(CharacterClass::kAlphabetic, c) || IsIn(CharacterClass::kNumeric, c);
}

bool IsWord(uint32_t c) { return c == '_' || IsAlphanumeric(c); }

bool IsPrintable(uint32_t c) {
  if (c < 0x7F) return c >= ' ';
  return !IsIn(CharacterClass::kUnprintable, c);
}

bool IsCased(uint32_t c) {
  return IsIn(CharacterClass::kLowercase, c) || IsIn(CharacterClass::kUppercase, c) ||
         (c >= 0x80 && RunAt(TableOf(LetterCase::kLower).spans, c) != nullptr);
}

bool HasOnlyCase(std::string_view text, CharacterClass letter_case) {
  bool has_one = false;
  for (const char32_t point : Decode(text)) {
    if (IsIn(letter_case, point)) {
      has_one = true;
    } else if (IsCased(point)) {
      return false;
    }
  }
  return has_one;
}

std::string ToUpper(std::string_view text) {
  std::string out;
  for (const char32_t point : Decode(text)) AppendConverted(point, LetterCase::kUpper, &out);
  return out;
}

std::string ToLower(std::string_view text) {
  std::string out;
  const std::u32string points = Decode(text);
  for (size_t i = 0; i < points.size(); ++i) AppendLower(points, i, &out);
  return out;
}

std::string Capitalize(std::string_view text) {
  std::string out;
  const std::u32string points = Decode(text);
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      AppendConverted(points[i], LetterCase::kTitle, &out);
    } else {
      AppendLower(points, i, &out);
    }
  }
  return out;
}

std::string ToTitle(std::string_view text) {
  std::string out;
  const std::u32string points = Decode(text);
  bool in_word = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (in_word) {
      AppendLower(points, i, &out);
    } else {
      AppendConverted(points[i], LetterCase::kTitle, &out);
    }
    in_word = IsCased(points[i]);
  }
  return out;
}

std::string SwapCase(std::string_view text) {
  std::string out;
  const std::u32string points = Decode(text);
  for (size_t i = 0; i < points.size(); ++i) {
    if (IsIn(CharacterClass::kUppercase, points[i])) {
      AppendLower(points, i, &out);
    } else if (IsIn(CharacterClass::kLowercase, points[i])) {
      AppendConverted(points[i], LetterCase::kUpper, &out);
    } else {
      AppendCodePoint(points[i], &out);
    }
  }
  return out;
}

}  // namespace phalanx::jinja
