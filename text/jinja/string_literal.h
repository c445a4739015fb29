// The inside of a quoted string.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace phalanx::jinja {

// The value of what stands between the quotes, with Python's escapes; nullopt, with `*error`, for
// an escape that is cut short.
std::optional<std::string> Unescape(std::string_view literal, std::string* error);

}  // namespace phalanx::jinja
