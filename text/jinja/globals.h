// The functions that every chat template may call.
#pragma once

#include <ctime>
#include <functional>

#include "text/jinja/value.h"

namespace phalanx::jinja {

// Local time, and the microseconds since its last second.
struct Now {
  std::tm time;
  int microseconds;
};
using Clock = std::function<Now()>;

Now SystemClock();

// range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
Dict MakeGlobals(Clock clock);

}  // namespace phalanx::jinja
