// str() and repr().
#pragma once

#include <string>

#include "text/jinja/value.h"

namespace phalanx::jinja {

// An undefined value is "".
std::string ToText(const Value& value);
std::string Repr(const Value& value);
std::string ReprText(std::string_view text);  // with quotes
std::string FloatText(double value);          // inf and nan, too

// The string's own bytes where it is one, without a copy; otherwise `*buffer`, which it fills.
std::string_view TextOf(const Value& value, std::string* buffer);

}  // namespace phalanx::jinja
