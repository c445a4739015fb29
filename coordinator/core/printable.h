// What a client sent, made safe for an error message or a log line.
#pragma once

#include <string>
#include <string_view>

namespace phalanx {

// In double quotes; control characters, quotes, backslashes and bytes beyond ASCII escaped as \xHH;
// cut after 48 bytes with a note of the whole length.
std::string Printable(std::string_view text);

}  // namespace phalanx
