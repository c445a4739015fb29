#include "coordinator/core/printable.h"

#include <fmt/format.h>

#include <iterator>

namespace phalanx {

std::string Printable(std::string_view text) {
  constexpr size_t kMaxBytes = 48;
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F || c == '"' || c == '\\') {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
  if (text.size() > kMaxBytes) {
    fmt::format_to(std::back_inserter(out), "... ({} bytes)", text.size());
  }
  return out;
}

}  // namespace phalanx
