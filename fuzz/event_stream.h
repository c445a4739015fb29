// Server-sent events as a browser reads them (the HTML standard's event stream).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/check.h"

namespace phalanx::fuzz {

// The data of each event. Fails where a line is no data, or the stream ends within an event.
inline std::vector<std::string> ParseEvents(std::string_view stream) {
  std::vector<std::string> events;
  std::string data;
  bool has_data = false;
  while (!stream.empty()) {
    const size_t end = stream.find_first_of("\r\n");
    PHALANX_CHECK(end != std::string_view::npos);
    const std::string_view line = stream.substr(0, end);
    stream.remove_prefix(end + (stream.substr(end).starts_with("\r\n") ? 2 : 1));
    if (line.empty()) {
      PHALANX_CHECK(has_data);
      events.push_back(std::exchange(data, {}));
      has_data = false;
      continue;
    }
    constexpr std::string_view kField = "data: ";
    PHALANX_CHECK(line.starts_with(kField));
    if (has_data) data += '\n';
    data += line.substr(kField.size());
    has_data = true;
  }
  PHALANX_CHECK(!has_data);
  return events;
}

}  // namespace phalanx::fuzz
