// Searching for one long text in another, both of which somebody else wrote.
#pragma once

#include <cstddef>
#include <string_view>

namespace phalanx {

// Where `part` begins in `text` for the last time; npos: nowhere. Takes time linear in both (Knuth,
// Morris and Pratt 1977), which std::string_view::rfind does not.
size_t FindLast(std::string_view text, std::string_view part);

}  // namespace phalanx
