#include "coordinator/http/exchange.h"

#include <algorithm>

namespace phalanx::http {

std::string_view Request::FindHeader(std::string_view name) const {
  const auto it = std::find_if(headers.begin(), headers.end(),
                               [name](const Header& header) { return header.name == name; });
  return it == headers.end() ? std::string_view() : std::string_view(it->value);
}

}  // namespace phalanx::http
