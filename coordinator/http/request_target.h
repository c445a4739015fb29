// RFC 9112, 3.2: the request target, in origin form, absolute form or asterisk form.
#pragma once

#include <optional>
#include <string_view>

#include "coordinator/http/exchange.h"
#include "coordinator/http/refusal.h"

namespace phalanx::http {

// Sets request->path and query; request->method is set already. Nothing: it is good.
std::optional<Refusal> ParseTarget(std::string_view target, Request* request);

}  // namespace phalanx::http
