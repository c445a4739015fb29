// What a client sent, made safe for an error message or a log line.
#pragma once

#include <string>
#include <string_view>

namespace phalanx {

// In double quotes; control characters, quotes, backslashes and bytes beyond ASCII escaped as \xHH;
// cut after 48 bytes with a note of the whole length.
std::string Printable(std::string_view text);

// A key of an object: as it is where it is an ordinary one, else as Printable has it.
std::string SafeKey(std::string_view key);

}  // namespace phalanx
