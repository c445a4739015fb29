// What an answer must fit, from the command line and from JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace CLI {
class App;
}

namespace phalanx {

// --json-schema FILE, --json-object, --regex, --choice, --grammar FILE, --structural-tag FILE, of
// which one may be given; it lands in `params`, which must outlive `app`'s parsing.
void AddStructuredOutputFlags(CLI::App& app, v1::SamplingParams& params);

// vLLM's form: an object with one of json (a schema, or its text), json_object, regex, choice,
// grammar, structural_tag (an object, or its text). INVALID_ARGUMENT naming the field in it.
Status SetStructuredOutputs(const nlohmann::json& value, v1::SamplingParams& params);

}  // namespace phalanx
