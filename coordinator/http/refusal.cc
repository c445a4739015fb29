#include "coordinator/http/refusal.h"

#include <fmt/format.h>

#include <string_view>

namespace phalanx::http {
namespace {

std::string_view TypeOf(int status) {
  switch (status) {
    case 408:
      return "TimeoutError";
    case 413:
      return "PayloadTooLargeError";
    case 414:
      return "UriTooLongError";
    case 415:
      return "UnsupportedMediaTypeError";
    case 417:
      return "ExpectationFailedError";
    case 429:
      return "RateLimitError";
    case 431:
      return "HeadersTooLargeError";
    case 500:
      return "InternalServerError";
    case 501:
      return "NotImplementedError";
    case 503:
      return "ServiceUnavailableError";
    case 505:
      return "VersionNotSupportedError";
    default:
      return "BadRequestError";
  }
}

// Messages are printable ASCII.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

Response ToResponse(const Refusal& refusal) {
  Response response;
  response.status = refusal.status;
  response.body = fmt::format(R"({{"error":{{"message":{},"type":"{}","param":null,"code":{}}}}})",
                              Quoted(refusal.message), TypeOf(refusal.status), refusal.status);
  if (refusal.status == 429 || refusal.status == 503)
    response.headers.push_back({"Retry-After", "1"});
  return response;
}

}  // namespace phalanx::http
