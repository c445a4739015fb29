#include "text/find_text.h"

#include <vector>

namespace phalanx {

// Both are read from their ends.
size_t FindLast(std::string_view text, std::string_view part) {
  if (part.empty()) return text.size();
  const auto from_end = [](std::string_view all, size_t i) { return all[all.size() - 1 - i]; };
  // borders[n]: the longest proper prefix of the first n characters that is also their suffix.
  std::vector<size_t> borders(part.size() + 1, 0);
  for (size_t n = 1, border = 0; n < part.size(); ++n) {
    while (border > 0 && from_end(part, n) != from_end(part, border)) border = borders[border];
    if (from_end(part, n) == from_end(part, border)) ++border;
    borders[n + 1] = border;
  }
  for (size_t i = 0, matched = 0; i < text.size(); ++i) {
    while (matched > 0 && from_end(text, i) != from_end(part, matched)) matched = borders[matched];
    if (from_end(text, i) == from_end(part, matched)) ++matched;
    if (matched == part.size()) return text.size() - 1 - i;
  }
  return std::string_view::npos;
}

}  // namespace phalanx
