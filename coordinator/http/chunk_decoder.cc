#include "coordinator/http/chunk_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "coordinator/http/token.h"

namespace phalanx::http {
namespace {

constexpr size_t kMaxDigits = 15;  // cannot overflow

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

size_t ChunkDecoder::Consume(std::string_view data, std::string* body) {
  size_t used = 0;
  while (used < data.size() && state_ != State::kDone && !refusal_) {
    if (state_ == State::kData) {
      const size_t count = std::min(remaining_, data.size() - used);
      body->append(data, used, count);
      used += count;
      remaining_ -= count;
      if (remaining_ == 0) state_ = State::kDataReturn;
    } else {
      Step(data[used++], body->size());
    }
  }
  return used;
}

void ChunkDecoder::Step(char c, size_t body_bytes) {
  switch (state_) {
    case State::kSize:
    case State::kSizeDigits:
      return StepSize(c, body_bytes);
    case State::kExtensions:
      return StepExtensions(c);
    case State::kSizeLineFeed:
      return Expect(c, '\n', remaining_ == 0 ? State::kTrailer : State::kData);
    case State::kDataReturn:
      return Expect(c, '\r', State::kDataLineFeed);
    case State::kDataLineFeed:
      digits_ = 0;
      return Expect(c, '\n', State::kSize);
    case State::kTrailerLineFeed:
      return Expect(c, '\n', State::kTrailer);
    case State::kLastLineFeed:
      return Expect(c, '\n', State::kDone);
    default:
      return StepTrailer(c);
  }
}

void ChunkDecoder::StepSize(char c, size_t body_bytes) {
  const int digit = HexDigit(c);
  if (digit < 0) {
    if (state_ == State::kSizeDigits && c == '\r') {
      state_ = State::kSizeLineFeed;
    } else if (state_ == State::kSizeDigits && (c == ';' || c == ' ' || c == '\t')) {
      state_ = State::kExtensions;
      extensions_ = ChunkExtensions();
      StepExtensions(c);
    } else {
      Refuse(400, "chunk size: is malformed, allowed: hexadecimal digits, extensions and CR LF");
    }
    return;
  }
  if (state_ == State::kSize) remaining_ = 0;
  state_ = State::kSizeDigits;
  remaining_ = remaining_ * 16 + static_cast<size_t>(digit);
  if (++digits_ > kMaxDigits) {
    Refuse(400, fmt::format("chunk size: has more digits than {}", kMaxDigits));
  } else if (remaining_ > limits_.max_body_bytes - body_bytes) {
    Refuse(413,
           fmt::format("body: has more than {} bytes, which are allowed", limits_.max_body_bytes));
  }
}

void ChunkDecoder::StepExtensions(char c) {
  if (++extension_bytes_ > limits_.max_header_bytes) {
    Refuse(431, fmt::format("chunk extensions: have more than {} bytes, which are allowed",
                            limits_.max_header_bytes));
  } else if (c == '\r' && extensions_.may_end()) {
    state_ = State::kSizeLineFeed;
  } else if (extensions_.Take(c) == ChunkExtensions::Verdict::kMalformed) {
    Refuse(400, "chunk extension: is malformed, allowed: ;NAME or ;NAME=VALUE");
  }
}

void ChunkDecoder::StepTrailer(char c) {
  if (++trailer_bytes_ > limits_.max_header_bytes) {
    Refuse(431, fmt::format("trailers: have more than {} bytes, which are allowed",
                            limits_.max_header_bytes));
  } else if (c == '\r') {
    state_ = state_ == State::kTrailer ? State::kLastLineFeed : State::kTrailerLineFeed;
  } else if (IsControl(c)) {
    Refuse(400, "trailers: hold a control character");
  } else {
    state_ = State::kTrailerLine;
  }
}

void ChunkDecoder::Expect(char c, char expected, State next) {
  if (c != expected) {
    Refuse(400, "chunk: is not ended by CR LF");
    return;
  }
  state_ = next;
}

void ChunkDecoder::Refuse(int status, std::string message) {
  refusal_ = Refusal{status, std::move(message)};
}

}  // namespace phalanx::http
