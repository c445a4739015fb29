// RFC 9112, 7.1: the chunked transfer coding, byte by byte. Extensions and trailers are dropped;
// each of the two may take as many bytes in all as the headers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/http/chunk_extensions.h"
#include "coordinator/http/message_limits.h"
#include "coordinator/http/refusal.h"

namespace phalanx::http {

class ChunkDecoder {
 public:
  explicit ChunkDecoder(const MessageLimits& limits) : limits_(limits) {}

  // Appends what it decodes to *body; returns how many bytes it took: all, or those up to the end
  // of the last chunk or to the byte that is refused.
  size_t Consume(std::string_view data, std::string* body);

  bool done() const { return state_ == State::kDone; }
  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  enum class State {
    kSize,          // at least one digit is due
    kSizeDigits,    // more digits, extensions or the line's end
    kExtensions,    // more of them or the line's end
    kSizeLineFeed,  // after its carriage return
    kData,
    kDataReturn,  // the end of the data's line
    kDataLineFeed,
    kTrailer,      // at the start of a line after the last chunk
    kTrailerLine,  // inside one
    kTrailerLineFeed,
    kLastLineFeed,  // of the empty line
    kDone,
  };

  void Step(char c, size_t body_bytes);
  void StepSize(char c, size_t body_bytes);
  void StepExtensions(char c);
  void StepTrailer(char c);
  void Expect(char c, char expected, State next);
  void Refuse(int status, std::string message);

  const MessageLimits limits_;
  State state_ = State::kSize;
  size_t remaining_ = 0;  // of the chunk
  size_t digits_ = 0;
  ChunkExtensions extensions_;  // of the chunk
  size_t extension_bytes_ = 0;  // of all chunks
  size_t trailer_bytes_ = 0;
  std::optional<Refusal> refusal_;
};

}  // namespace phalanx::http
