// What can be known to be wrong before a template runs, and where its variables are.
#pragma once

#include "text/jinja/ast.h"

namespace phalanx::jinja {

// Fills in what the syntax tree says is the checker's. Throws kSyntax: an unknown filter or test
// (inside `if` that is an error only once it is reached), `break` outside a loop, a parameter
// twice, an assignment to `loop` inside a loop.
Program Check(Body body);

}  // namespace phalanx::jinja
