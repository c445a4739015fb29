// TLS handshakes that fail on gRPC's port. gRPC tells nobody of them but its own log, and there not
// whose they were.
#pragma once

#include "coordinator/core/refusal_log.h"

namespace phalanx {

// One at a time in a process, whose log of gRPC's lines it takes over.
class HandshakeLog {
 public:
  // `refusals` must outlive it.
  explicit HandshakeLog(RefusalLog& refusals);
  ~HandshakeLog();
  HandshakeLog(const HandshakeLog&) = delete;
  HandshakeLog& operator=(const HandshakeLog&) = delete;
};

// What a line of gRPC's log says of a handshake. False: nothing, or that the client left by itself.
// `refused->detail` is a part of `line`.
bool ReadHandshakeLine(std::string_view line, Refused* refused);

}  // namespace phalanx
