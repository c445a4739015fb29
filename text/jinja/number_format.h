// Numbers and texts in Python's format specifications, for str.format and the % operator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace phalanx::jinja {

struct FormatSpec {
  std::string fill = " ";  // one code point
  char align = '\0';       // < > ^ =
  char sign = '-';         // - + space
  bool is_alternate = false;
  int64_t width = 0;
  char grouping = '\0';  // , or _
  std::optional<int64_t> precision;
  char type = '\0';  // '\0': none
};

// [[fill]align][sign][#][0][width][grouping][.precision][type]; throws for anything else.
FormatSpec ParseFormatSpec(std::string_view text);

std::string FormatInteger(const Value& integer, const FormatSpec& spec);  // b c d o x X n
std::string FormatFloat(double value, const FormatSpec& spec);            // e E f F g G % n
std::string FormatText(std::string_view text, const FormatSpec& spec);    // s

}  // namespace phalanx::jinja
