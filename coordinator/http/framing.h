// RFC 9112, 6: how long a request's body is and what becomes of the connection. Whatever two
// readers of the same bytes could disagree on is refused, since a request that a proxy and this
// server delimit differently can hide a second one.
#pragma once

#include <cstdint>
#include <optional>

#include "coordinator/http/exchange.h"
#include "coordinator/http/message_limits.h"
#include "coordinator/http/refusal.h"

namespace phalanx::http {

enum class HttpVersion { k10, k11 };

struct Framing {
  bool chunked = false;
  uint64_t content_length = 0;  // where not chunked
  bool expects_continue = false;
  bool keep_alive = false;
};

// `request` has its headers. Nothing: *framing is set.
std::optional<Refusal> FrameRequest(const Request& request, HttpVersion version,
                                    const MessageLimits& limits, Framing* framing);

// The tokens of a comma-separated header value, in lower case; empty ones are left out.
std::vector<std::string> ListOf(std::string_view value);

}  // namespace phalanx::http
