// X-Request-Id: what a client sent comes back with the answer, so that it finds the two in its log.
#pragma once

#include <string>

#include "coordinator/http/exchange.h"

namespace phalanx::http {

// The client's, as far as it is printable ASCII without spaces, at most 128 bytes; empty: there is
// none.
std::string RequestIdOf(const Request& request);

// Reports it, if there is one.
void AddRequestId(const Request& request, Response* response);

}  // namespace phalanx::http
