#include "coordinator/http/request_id.h"

#include <string_view>
#include <utility>

namespace phalanx::http {

std::string RequestIdOf(const Request& request) {
  constexpr size_t kMaxBytes = 128;
  std::string id;
  for (const char c : request.FindHeader("x-request-id").substr(0, kMaxBytes)) {
    if (c > ' ' && c <= '~') id += c;
  }
  return id;
}

void AddRequestId(const Request& request, Response* response) {
  std::string id = RequestIdOf(request);
  if (!id.empty()) response->headers.push_back({"X-Request-Id", std::move(id)});
}

}  // namespace phalanx::http
