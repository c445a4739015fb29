// What a refusal says of coming back.
#pragma once

#include <chrono>

namespace phalanx {

// For Status::WithRetryAfter: this address takes no requests any more.
inline constexpr std::chrono::milliseconds kNeverHere{-1};

}  // namespace phalanx
