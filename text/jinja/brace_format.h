// str.format.
#pragma once

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

// "{} {0} {name.attribute[key]!r:>10}".format(...); a Markup escapes what it takes in.
Value BraceFormat(const Value& format, const Arguments& arguments);

}  // namespace phalanx::jinja
