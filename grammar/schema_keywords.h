// What a JSON schema says that the grammar library would drop without a word, so that answers would
// pass that do not fit.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "kernels/base/status.h"

namespace phalanx {

// Of one (sub)schema, without those in it. INVALID_ARGUMENT (without a field) naming the keyword:
// one that no mask can hold, one beside $ref, anyOf, oneOf or allOf, which the library reads alone,
// values of an enum that its neighbours exclude, a required property that is not described, a
// pattern with characters that stand escaped in JSON, a bound with more than 6 decimals, bounds
// with no such number between them.
Status CheckSchemaKeywords(const nlohmann::json& schema);

}  // namespace phalanx
