// The endpoints that answer at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/core/frontend.h"
#include "coordinator/openai/call.h"
#include "coordinator/openai/json_field.h"

namespace phalanx::openai {

// Each gives the body of a 200.
StatusOr<std::string> TokenizeBody(const Frontend& frontend, const Json& body,
                                   const ParseContext& context);
StatusOr<std::string> DetokenizeBody(const Frontend& frontend, const Json& body,
                                     const ParseContext& context);
StatusOr<std::string> ModelsBody(const Frontend& frontend, int64_t created);
// NOT_FOUND where `id` is not served.
StatusOr<std::string> ModelBody(const Frontend& frontend, std::string_view id, int64_t created);
std::string VersionBody(const Frontend& frontend);

}  // namespace phalanx::openai
