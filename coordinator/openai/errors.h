// Errors as clients of the OpenAI API read them: {"error":{message, type, param, code}}, where code
// is the HTTP status.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/http/exchange.h"
#include "kernels/base/status.h"

namespace phalanx::openai {

// 400 INVALID_ARGUMENT, 404 NOT_FOUND, 429 RESOURCE_EXHAUSTED, 499 CANCELLED, 501 UNIMPLEMENTED,
// 503 UNAVAILABLE, 504 DEADLINE_EXCEEDED, 401 UNAUTHENTICATED, 500 all else.
int HttpStatusOf(StatusCode code);

struct Renaming {
  std::string_view from;  // a field of the request path, or a prefix of one
  std::string_view to;
};

// The request path's names of fields in the words of this API: sampling.top_p is top_p. `own` goes
// first: names that differ between endpoints.
Status InWordsOfApi(const Status& status, std::span<const Renaming> own = {});

// The body, without a line end. An empty `param` is null.
std::string ErrorBody(std::string_view message, std::string_view type, std::string_view param,
                      int code);
std::string ErrorBody(const Status& status);

// 401 carries WWW-Authenticate, 429 and 503 Retry-After; errors that a repetition would only meet
// again say so to the clients that would repeat them.
http::Response ErrorResponse(const Status& status);

}  // namespace phalanx::openai
