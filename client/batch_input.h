// The requests of a batch: JSON lines, each with an id.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/batch_request.h"

namespace phalanx {

// An id as one string, equal for equal ids.
std::string IdKey(const nlohmann::json& id);

struct BatchLine {
  nlohmann::json id;
  StatusOr<BatchRequest> request;  // why the line is none, where it is wrong
};

// The lines of `text` that are not blank. One without an id, or that is no JSON object, is known as
// "line-NUMBER". INVALID_ARGUMENT, naming both lines, where two have one id: the answers could not
// be told apart.
StatusOr<std::vector<BatchLine>> ParseBatchInput(const std::string& text,
                                                 const v1::SamplingParams& defaults);

}  // namespace phalanx
