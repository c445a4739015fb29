#include "text/jinja/number_format.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// A decimal number at the front, which is removed; nullopt: there is none.
std::optional<int64_t> TakeNumber(std::string_view* text) {
  int64_t value = 0;
  size_t digits = 0;
  for (; digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9'; ++digits) {
    value = value * 10 + ((*text)[digits] - '0');
    if (value > static_cast<int64_t>(kMaxStringBytes)) {
      Throw(ErrorKind::kLimit, "a format's width or precision is too large");
    }
  }
  if (digits == 0) return std::nullopt;
  text->remove_prefix(digits);
  return value;
}

bool TakeChar(std::string_view* text, char c) {
  if (!text->starts_with(c)) return false;
  text->remove_prefix(1);
  return true;
}

// Separators between groups of `size` digits, counted from the right.
std::string Group(std::string_view digits, char separator, size_t size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % size == 0) out.push_back(separator);
    out.push_back(digits[i]);
  }
  return out;
}

std::string AlignText(std::string text, const FormatSpec& spec, char default_align) {
  const char align = spec.align == '\0' ? default_align : spec.align;
  const int64_t missing = spec.width - static_cast<int64_t>(CountCodePoints(text));
  if (missing <= 0) return text;
  int64_t left = missing;
  if (align == '<') left = 0;
  if (align == '^') left = missing / 2;
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += spec.fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += spec.fill;
  return out;
}

// Sign and prefix before the digits, with what fills the width between or around them. `digits` may
// go on with a fraction or an exponent, of which `whole` bytes are grouped.
std::string AlignNumber(bool is_negative, std::string_view prefix, std::string_view digits,
                        size_t whole, const FormatSpec& spec, size_t group_size) {
  std::string head = is_negative ? "-" : "";
  if (!is_negative && spec.sign != '-') head = std::string(1, spec.sign);
  head += prefix;
  std::string number(digits.substr(0, whole));
  const std::string_view rest = digits.substr(whole);
  if (spec.grouping != '\0') {
    if (spec.fill == "0" && spec.align == '=') {
      // The zeros are grouped, too: as many as the width takes.
      const auto room = spec.width - static_cast<int64_t>(head.size() + rest.size());
      while (static_cast<int64_t>(Group(number, spec.grouping, group_size).size()) < room) {
        number.insert(number.begin(), '0');
      }
    }
    number = Group(number, spec.grouping, group_size);
  }
  number += rest;
  if (spec.align != '=') return AlignText(head + number, spec, '>');
  const int64_t missing = spec.width - static_cast<int64_t>(head.size() + number.size());
  for (int64_t i = 0; i < missing; ++i) head += spec.fill;
  return head + number;
}

}  // namespace

FormatSpec ParseFormatSpec(std::string_view text) {
  const std::string_view whole = text;
  FormatSpec spec;
  const size_t first = text.empty() ? 0 : DecodeCodePoint(text.data()).length_bytes;
  bool has_fill = false;
  if (first > 0 && first < text.size() && IsAlign(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    text.remove_prefix(first + 1);
    has_fill = true;
  } else if (!text.empty() && IsAlign(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && (text[0] == '+' || text[0] == '-' || text[0] == ' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.is_alternate = TakeChar(&text, '#');
  if (TakeChar(&text, '0') && !has_fill) {
    spec.fill = std::string("0");
    if (spec.align == '\0') spec.align = '=';
  }
  spec.width = TakeNumber(&text).value_or(0);
  if (TakeChar(&text, ',')) spec.grouping = ',';
  if (TakeChar(&text, '_')) spec.grouping = '_';
  if (TakeChar(&text, '.')) {
    spec.precision = TakeNumber(&text);
    if (!spec.precision) Throw(ErrorKind::kValue, "format specifier missing precision");
  }
  if (!text.empty()) {
    spec.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() || static_cast<unsigned char>(spec.type) >= 0x80) {
    Throw(ErrorKind::kValue, "invalid format specifier '{}'", whole);
  }
  return spec;
}

std::string FormatInteger(const Value& integer, const FormatSpec& spec) {
  if (spec.precision) {
    Throw(ErrorKind::kValue, "precision not allowed in integer format specifier");
  }
  uint32_t base = 10;
  std::string_view prefix;
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n':
      break;
    case 'b':
      base = 2;
      prefix = "0b";
      break;
    case 'o':
      base = 8;
      prefix = "0o";
      break;
    case 'x':
    case 'X':
      base = 16;
      prefix = spec.type == 'x' ? "0x" : "0X";
      break;
    case 'c': {
      const int64_t point = ToIndex(integer, "%c");
      if (point < 0 || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
        Throw(ErrorKind::kValue, "{} is no character", point);
      }
      std::string text;
      AppendCodePoint(static_cast<uint32_t>(point), &text);
      return AlignText(std::move(text), spec, '<');
    }
    default:
      Throw(ErrorKind::kValue, "unknown format code '{}' for an integer", spec.type);
  }
  const BigInt value = ToBigInt(integer);
  std::string digits = (value.IsNegative() ? -value : value).ToString(base);
  if (spec.type == 'X') digits = ToUpper(digits);
  return AlignNumber(value.IsNegative(), spec.is_alternate ? prefix : "", digits, digits.size(),
                     spec, base == 10 ? 3 : 4);
}

std::string FormatFloat(double value, const FormatSpec& spec) {
  const char lower = static_cast<char>(spec.type | 0x20);
  const bool is_known = spec.type == '\0' || spec.type == '%' || lower == 'e' || lower == 'f' ||
                        lower == 'g' || spec.type == 'n';
  if (!is_known) Throw(ErrorKind::kValue, "unknown format code '{}' for a float", spec.type);
  const int64_t precision = spec.precision.value_or(6);
  if (precision > kMaxPrecision) Throw(ErrorKind::kLimit, "a format's precision is too large");
  double magnitude = std::fabs(value);
  std::string digits;
  if (!std::isfinite(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (spec.type == '%') digits += "%";
  } else if (spec.type == '\0' && !spec.precision) {
    digits = FloatText(magnitude);
  } else if (lower == 'e') {
    digits = spec.is_alternate ? fmt::format("{:#.{}e}", magnitude, precision)
                               : fmt::format("{:.{}e}", magnitude, precision);
  } else if (lower == 'f') {
    digits = spec.is_alternate ? fmt::format("{:#.{}f}", magnitude, precision)
                               : fmt::format("{:.{}f}", magnitude, precision);
  } else if (spec.type == '%') {
    digits = fmt::format("{:.{}f}%", magnitude * 100, precision);
  } else {
    char buffer[kMaxPrecision + 32];
    std::snprintf(buffer, sizeof(buffer), spec.is_alternate ? "%#.*g" : "%.*g",
                  static_cast<int>(precision), magnitude);
    digits = buffer;
    // Without a type a float looks like one.
    const bool is_plain = digits.find_first_of(".e") == std::string::npos;
    if (spec.type == '\0' && is_plain) digits += ".0";
  }
  if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') digits = ToUpper(digits);
  const size_t whole =
      std::isfinite(value) ? std::min(digits.find_first_not_of("0123456789"), digits.size()) : 0;
  return AlignNumber(std::signbit(value) && !std::isnan(value), "", digits, whole, spec, 3);
}

std::string FormatText(std::string_view text, const FormatSpec& spec) {
  if (spec.type != '\0' && spec.type != 's') {
    Throw(ErrorKind::kValue, "unknown format code '{}' for a string", spec.type);
  }
  if (spec.sign != '-' || spec.is_alternate || spec.grouping != '\0' || spec.align == '=') {
    Throw(ErrorKind::kValue, "a format specifier for numbers was given a string");
  }
  std::string out(text);
  if (spec.precision) {
    const auto length = static_cast<int64_t>(CountCodePoints(text));
    out = SliceCodePoints(text, 0, std::min(length, *spec.precision));
  }
  return AlignText(std::move(out), spec, '<');
}

}  // namespace phalanx::jinja
