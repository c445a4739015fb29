// One request out of the bytes of a connection, in whatever pieces they come. Strict where RFC 9112
// lets a server be lenient: lines end with CR LF, nothing is folded, no blank stands before a
// colon, no control character anywhere.
//
// Its own and not Boost.Beast's parser, which (1.74) unfolds headers, takes repeated lengths and
// codings before "chunked", and mixes trailers into the headers; a check before it of all that
// would be this parser. The tests hold what it accepts against Beast's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/http/chunk_decoder.h"
#include "coordinator/http/exchange.h"
#include "coordinator/http/framing.h"
#include "coordinator/http/message_limits.h"
#include "coordinator/http/refusal.h"

namespace phalanx::http {

class RequestParser {
 public:
  enum class State { kHead, kBody, kComplete, kRefused };

  explicit RequestParser(const MessageLimits& limits) : limits_(limits), chunks_(limits) {}

  // Returns how many bytes it took: all, unless the state becomes kComplete or kRefused.
  size_t Consume(std::string_view data);

  State state() const { return state_; }
  // What has come of it; complete in kComplete, when it may be moved from.
  Request& request() { return request_; }
  const Refusal& refusal() const { return refusal_; }  // in kRefused
  // From kBody on.
  const Framing& framing() const { return framing_; }
  HttpVersion version() const { return version_; }

 private:
  void ConsumeLine(std::string_view data, size_t* used);
  void EndLine();
  void ParseRequestLine(std::string_view line);
  void ParseHeader(std::string_view line);
  void EndHead();
  void Refuse(Refusal refusal);
  void RefuseLength();

  const MessageLimits limits_;
  State state_ = State::kHead;
  std::string line_;  // as far as it is there
  bool has_request_line_ = false;
  size_t empty_lines_ = 0;   // before the request line
  size_t header_bytes_ = 0;  // of complete lines
  HttpVersion version_ = HttpVersion::k11;
  Framing framing_;
  ChunkDecoder chunks_;
  Request request_;
  Refusal refusal_;
};

}  // namespace phalanx::http
