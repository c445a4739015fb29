// Sampling parameters from the command line and from JSON. Both follow the fields of the message
// SamplingParams, so a parameter that is added there is a flag and a JSON key here: top_p is
// --top-p and "top_p".
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace CLI {
class App;
}

namespace phalanx {

// A flag for every sampling parameter; what is given lands in `params`, which must outlive `app`'s
// parsing. Values are judged by the server.
void AddSamplingFlags(CLI::App& app, v1::SamplingParams& params);

// Sets the parameter `name`. NOT_FOUND where there is no such parameter, INVALID_ARGUMENT where the
// value has the wrong type. null leaves it as it is.
Status SetSamplingParam(std::string_view name, const nlohmann::json& value,
                        v1::SamplingParams& params);

// "1,2,3" or "1 2 3". INVALID_ARGUMENT for `field`.
StatusOr<std::vector<int32_t>> ParseTokenIds(std::string_view text, std::string_view field);

}  // namespace phalanx
