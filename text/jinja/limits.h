// How much one rendering may take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace phalanx::jinja {

struct Limits {
  int64_t steps = 1'000'000;  // statements and expressions; large texts count more than once
  int depth = 64;             // calls of macros and recursive loops inside each other
  size_t output_bytes = size_t{4} << 20;
};

}  // namespace phalanx::jinja
