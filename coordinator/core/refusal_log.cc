#include "coordinator/core/refusal_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>

#include "coordinator/core/printable.h"

namespace phalanx {
namespace {

constexpr std::chrono::seconds kBetweenLines(1);

std::string_view ReasonOf(RefusalKind kind) {
  switch (kind) {
    case RefusalKind::kNoKey:
      return "no API key";
    case RefusalKind::kUnknownKey:
      return "an API key that is not known";
    case RefusalKind::kExpiredKey:
      return "an API key that has expired";
    case RefusalKind::kNoMetrics:
      return "an API key that may not read metrics";
    case RefusalKind::kHandshake:
      return "the TLS handshake failed";
    case RefusalKind::kHandshakeTimeout:
      return "the TLS handshake did not end in time";
    case RefusalKind::kMalformed:
      return "a request that is not read";
    case RefusalKind::kLate:
      return "a request that did not come in time";
    case RefusalKind::kTooMany:
      return "more than there may be";
    case RefusalKind::kUnread:
      return "nothing of the answer was taken";
  }
  return "";
}

bool IsOfAKnownKey(RefusalKind kind) {
  return kind == RefusalKind::kExpiredKey || kind == RefusalKind::kNoMetrics;
}

// Else it is a stranger's.
bool IsInOurWords(RefusalKind kind) {
  return kind == RefusalKind::kMalformed || kind == RefusalKind::kLate ||
         kind == RefusalKind::kTooMany;
}

// Our words may hold a stranger's, made printable: one field they stay.
std::string Quoted(std::string_view words) {
  std::string quoted = fmt::format("\"{}\"", words);
  std::replace(quoted.begin() + 1, quoted.end() - 1, '"', '\'');
  return quoted;
}

}  // namespace

void RefusalLog::Add(const Refused& refused) {
  int64_t left_out = 0;
  {
    const Clock::time_point now = now_();
    const std::lock_guard lock(mu_);
    Last& last = last_[static_cast<size_t>(refused.protocol)][static_cast<size_t>(refused.kind)];
    if (last.line != Clock::time_point::min() && now - last.line < kBetweenLines) {
      ++last.left_out;
      return;
    }
    left_out = std::exchange(last.left_out, 0);
    last.line = now;
  }
  std::string line =
      fmt::format("refused protocol={} peer={} reason=\"{}\"",
                  refused.protocol == FrontProtocol::kHttp ? "http" : "grpc",
                  refused.peer.empty() ? "unknown" : refused.peer, ReasonOf(refused.kind));
  if (IsOfAKnownKey(refused.kind)) {
    line += fmt::format(" key={}", refused.detail);
  } else if (!refused.detail.empty()) {
    line += fmt::format(" detail={}", IsInOurWords(refused.kind) ? Quoted(refused.detail)
                                                                 : Printable(refused.detail));
  }
  if (left_out > 0) line += fmt::format(" left_out={}", left_out);
  spdlog::warn("{}", line);
}

}  // namespace phalanx
