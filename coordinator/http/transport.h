// Bytes to and from a connected, non-blocking socket, plain or through TLS, without waiting.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace phalanx::http {

enum class IoState {
  kDone,        // `count` bytes, at least one
  kNeedsRead,   // again once the socket is readable
  kNeedsWrite,  // again once it is writable
  kEnd,         // the peer sends nothing more
  kFailed,
};

struct IoResult {
  IoState state = IoState::kFailed;
  size_t count = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult Read(std::span<char> into) = 0;
  // After kNeeds... the next call begins with the same bytes.
  virtual IoResult Write(std::string_view data) = 0;
  // Nothing has to be agreed on before the first byte.
  virtual bool IsEstablished() const = 0;
  // Why what had to be agreed on was not, after kFailed; empty where the peer just left.
  virtual std::string HandshakeError() const = 0;
  // Read has something although the socket may not become readable again.
  virtual bool HasPending() const = 0;
  // Tells the peer that nothing follows, as far as that needs no waiting.
  virtual void End() = 0;
};

// Does not own the socket.
std::unique_ptr<Transport> MakePlainTransport(int socket);

}  // namespace phalanx::http
