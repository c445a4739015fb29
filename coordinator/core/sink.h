// The seam between the request path and a protocol's skin: what a stream tells the one who writes
// it to the client. The data itself is pulled with Stream::Next, so that what piles up while a
// write is under way goes out as one message.
#pragma once

namespace phalanx {

class Sink {
 public:
  virtual ~Sink() = default;

  // Stream::Next has something to give. Called from any thread, also where a write is under way,
  // and also before the call that created the stream has returned. Must not block.
  virtual void OnReady() = 0;

  // The reader has not taken what was written for too long: the connection is to be dropped, so
  // that the write under way fails. Stream::Next then gives the end.
  virtual void Abort() = 0;
};

}  // namespace phalanx
