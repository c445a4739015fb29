// A stream of deltas, put together again, with the times at which they came.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.grpc.pb.h"

namespace phalanx {

struct StreamedAnswer {
  using Clock = std::chrono::steady_clock;

  v1::GenerateResponse response;
  Clock::time_point sent;
  std::vector<Clock::time_point> arrivals;  // of each message that carried tokens
  int64_t num_tokens_in_first = 0;          // that the first of those carried
  Status status;                            // what ended the stream; the rest is what came before

  double ttft_ms() const;  // 0 where no token came
  double e2el_ms() const;
  // Tokens after each choice's first, over the time that the server took for them; none where there
  // are no such tokens. The server's clock, since messages may reach a busy client in one go.
  std::optional<double> decode_tokens_per_s() const;
  // Tokens after the first message, over the time in which they came; 0 where there are none. The
  // client's clock: all that is known of a stream that was stopped.
  double received_tokens_per_s() const;
  int64_t num_tokens() const;  // of all choices
};

using StreamReader = grpc::ClientReaderInterface<v1::StreamResponse>;

// Sends the request, which is what `open` does, and reads to the end; `on_delta` sees each message
// as it comes. The clock starts before the request is sent.
StreamedAnswer ReadStream(const std::function<std::unique_ptr<StreamReader>()>& open,
                          const std::function<void(const v1::StreamResponse&)>& on_delta);

}  // namespace phalanx
