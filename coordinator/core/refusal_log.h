// Who was not let in or was cut off, in the log: at most a line a second of each kind and protocol,
// so that whoever knocks without end cannot fill it; a line says how many alike were left out
// before it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

#include "coordinator/core/clock.h"

namespace phalanx {

enum class FrontProtocol { kHttp, kGrpc };

enum class RefusalKind {
  kNoKey,             // none, or in another form
  kUnknownKey,        // of nobody
  kExpiredKey,        // detail: whose
  kNoMetrics,         // detail: whose
  kHandshake,         // TLS was not agreed on; detail: why
  kHandshakeTimeout,  // nor within the time for it
  // Of HTTP's own; detail: what the client is told, in which its own words are escaped.
  kMalformed,  // a request that the server does not read
  kLate,       // that did not come in time
  kTooMany,    // beyond the connections or bodies that there may be
  kUnread,     // it takes nothing of its answer
};

struct Refused {
  FrontProtocol protocol = FrontProtocol::kHttp;
  RefusalKind kind = RefusalKind::kNoKey;
  std::string_view peer;    // its address; empty: not known
  std::string_view detail;  // never what a client sent as a key
};

// Thread-safe.
class RefusalLog {
 public:
  using Now = std::function<Clock::time_point()>;
  explicit RefusalLog(Now now = Clock::now) : now_(std::move(now)) {}

  void Add(const Refused& refused);

 private:
  static constexpr size_t kNumKinds = 10;
  static constexpr size_t kNumProtocols = 2;
  struct Last {
    Clock::time_point line = Clock::time_point::min();
    int64_t left_out = 0;
  };

  const Now now_;
  std::mutex mu_;
  std::array<std::array<Last, kNumKinds>, kNumProtocols> last_;  // guarded by mu_
};

}  // namespace phalanx
