// The framing of requests: no bytes may end the process, what they mean may not depend on how they
// were cut into pieces, and what is accepted keeps to the limits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "coordinator/http/request_parser.h"
#include "kernels/base/check.h"

namespace {

using phalanx::http::MessageLimits;
using phalanx::http::RequestParser;

// Small, so that the limits are met often.
constexpr MessageLimits kLimits{
    .max_body_bytes = 512, .max_header_bytes = 256, .max_headers = 8, .max_line_bytes = 64};

void CheckAccepted(RequestParser& parser) {
  PHALANX_CHECK(parser.request().body.size() <= kLimits.max_body_bytes);
  PHALANX_CHECK(parser.request().headers.size() <= kLimits.max_headers);
  PHALANX_CHECK(!parser.request().path.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says how the rest is cut.
  const size_t max_piece = 1 + data[0] % 32;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  size_t begin = 0;
  while (begin < bytes.size()) {
    const std::string_view rest = bytes.substr(begin);
    RequestParser whole(kLimits);
    const size_t used = whole.Consume(rest);
    RequestParser pieces(kLimits);
    size_t taken = 0;
    for (size_t length = 1; taken < rest.size(); length = 1 + (length * 7 + 3) % max_piece) {
      taken += pieces.Consume(rest.substr(taken, length));
      if (pieces.state() == RequestParser::State::kComplete) break;
      if (pieces.state() == RequestParser::State::kRefused) break;
    }
    PHALANX_CHECK(pieces.state() == whole.state());
    if (whole.state() == RequestParser::State::kRefused) {
      PHALANX_CHECK(pieces.refusal().status == whole.refusal().status);
      break;
    }
    if (whole.state() != RequestParser::State::kComplete) break;
    PHALANX_CHECK(taken == used);
    PHALANX_CHECK(pieces.request().body == whole.request().body);
    PHALANX_CHECK(pieces.request().path == whole.request().path);
    CheckAccepted(whole);
    begin += used;
  }
  return 0;
}
