// What Python's str can do, on well-formed UTF-8. Positions count code points, as Python's do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/character_tables.h"

namespace phalanx::jinja {

bool IsAscii(std::string_view text);
size_t CountCodePoints(std::string_view text);

// The text from code point `from` up to `to`; both lie inside, from > to gives "".
std::string SliceCodePoints(std::string_view text, int64_t from, int64_t to);

// Random access to the code points of a text that outlives it.
class CodePoints {
 public:
  explicit CodePoints(std::string_view text);
  size_t size() const { return is_ascii_ ? text_.size() : starts_.size() - 1; }
  std::string_view operator[](size_t i) const {
    return is_ascii_ ? text_.substr(i, 1) : text_.substr(starts_[i], starts_[i + 1] - starts_[i]);
  }

 private:
  std::string_view text_;
  bool is_ascii_;
  std::vector<size_t> starts_;  // of each code point, and the end
};

std::u32string Decode(std::string_view text);

bool IsIn(CharacterClass character_class, uint32_t code_point);
bool IsSpace(uint32_t code_point);
bool IsAlphanumeric(uint32_t code_point);
bool IsWord(uint32_t code_point);  // \w of Python's re
bool IsPrintable(uint32_t code_point);
bool IsCased(uint32_t code_point);
// str.islower and isupper: some letter has that case, and none another.
bool HasOnlyCase(std::string_view text, CharacterClass letter_case);

std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);
std::string Capitalize(std::string_view text);  // str.capitalize
std::string ToTitle(std::string_view text);     // str.title
std::string SwapCase(std::string_view text);

enum class Side { kLeft, kRight, kBoth };
// Without `characters` white space.
std::string_view Strip(std::string_view text, Side side,
                       std::optional<std::string_view> characters = std::nullopt);

// str.split and rsplit. Without a separator white space separates; the separator is not empty.
// A negative `most` means no limit.
std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t most);
std::vector<std::string_view> SplitFromRight(std::string_view text,
                                             std::optional<std::string_view> separator,
                                             int64_t most);
enum class LineEnds { kDrop, kKeep };
std::vector<std::string_view> SplitLines(std::string_view text, LineEnds line_ends);

// A negative `most` means all.
std::string Replace(std::string_view text, std::string_view old_part, std::string_view new_part,
                    int64_t most);
int64_t CountParts(std::string_view text, std::string_view part);

// Pads with `fill`, one code point, to `width` code points.
enum class Align { kLeft, kCenter, kRight };
std::string Pad(std::string_view text, int64_t width, std::string_view fill, Align align);

}  // namespace phalanx::jinja
