// What a request may be at most.
#pragma once

#include <cstddef>

namespace phalanx::http {

struct MessageLimits {
  size_t max_body_bytes = 2 << 20;
  size_t max_header_bytes = 16 << 10;  // all header lines together, line ends included
  size_t max_headers = 64;
  size_t max_line_bytes = 8 << 10;  // the request line or one header line, without its end
};

}  // namespace phalanx::http
