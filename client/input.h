// Reading whole inputs, and refusing what is no text before it is sent.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// The content of `path`, "-" being standard input. NOT_FOUND where there is none, INVALID_ARGUMENT
// where it cannot be read (a folder, no permission), both naming `flag` and the path.
StatusOr<std::string> ReadInput(std::string_view flag, const std::string& path);

// INVALID_ARGUMENT "NAME: is no UTF-8 at byte 3 (0xff), allowed: UTF-8".
Status CheckUtf8(std::string_view name, std::string_view text);

// CheckUtf8 of every string in `message`, each by its field's name: protobuf would otherwise
// complain on standard error and send it all the same.
Status CheckUtf8(const google::protobuf::Message& message);

}  // namespace phalanx
