// The % operator of strings.
#pragma once

#include "text/jinja/value.h"

namespace phalanx::jinja {

// format % arguments: a tuple, a mapping, or one value. `format` is a string; a Markup escapes what
// it takes in.
Value PrintfFormat(const Value& format, const Value& arguments);

}  // namespace phalanx::jinja
