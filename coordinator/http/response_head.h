// The bytes of a response: its head, and the chunks of a streamed body.
#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/http/exchange.h"

namespace phalanx::http {

// What the server knows and the handler does not.
struct ResponseFraming {
  std::optional<size_t> content_length;  // none: chunked, or up to the connection's end
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;  // said to a client of HTTP/1.0, which expects the other
};

// Status line and headers with the empty line. `date` is an IMF-fixdate. Control characters in
// what the handler gives are left out, so that no client can smuggle a header through it.
void AppendHead(const Response& response, const ResponseFraming& framing, std::string_view date,
                std::string* out);

// 204 and 304 have neither body nor length.
bool HasBody(int status);

void AppendChunk(std::string_view data, std::string* out);  // nothing for empty data
void AppendLastChunk(std::string* out);

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string FormatDate(std::time_t time);

}  // namespace phalanx::http
