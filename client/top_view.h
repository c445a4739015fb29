// What `phalanx top` shows, as lines of text. Pure: time comes with the samples.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

// One answer of the server, or none.
struct TopSample {
  std::chrono::steady_clock::time_point time{};
  Status status;  // not OK: the server gave no answer
  v1::ServerInfo info;
};

struct TopViewport {
  int width = 80;  // columns
  int height = 24;
};

// Rates are those between the two samples; `before` is the one before `now` and may be absent or
// have failed. `last_answer`: when the server last answered, for one that is out of reach. No line
// is wider than the viewport, and there are at most as many as it is high. What came from the
// server is printable ASCII here, whatever it was.
std::vector<std::string> RenderTop(const std::string& server,
                                   const std::optional<TopSample>& before, const TopSample& now,
                                   std::optional<std::chrono::steady_clock::time_point> last_answer,
                                   TopViewport viewport);

}  // namespace phalanx
