#include "coordinator/core/printable.h"

#include <fmt/format.h>

#include <algorithm>
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

std::string SafeKey(std::string_view key) {
  constexpr size_t kMaxBytes = 48;
  const bool plain = key.size() <= kMaxBytes && std::all_of(key.begin(), key.end(), [](char c) {
                       return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
                     });
  return plain && !key.empty() ? std::string(key) : Printable(key);
}

}  // namespace phalanx
