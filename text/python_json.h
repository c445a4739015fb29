// JSON as Python's json module writes it, which is what chat templates' tojson filter shows to the
// model.
#pragma once

#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// json.dumps(json.loads(text), ensure_ascii=False): ", " and ": " between, the order of keys kept,
// integers of any size, floats as repr() writes them. INVALID_ARGUMENT naming `field` where `text`
// is no JSON, has an object with one key twice, or is nested deeper than 64.
StatusOr<std::string> ToPythonJson(std::string_view field, std::string_view text);

// repr() of a finite float: the shortest digits that read back as `value`.
std::string PythonFloat(double value);

}  // namespace phalanx
