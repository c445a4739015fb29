// "a.b.0": what filters take to look inside their items.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace phalanx::jinja {

class AttributePath {
 public:
  // Of a string, its parts between dots, digits as integers; of None nothing; of anything else
  // itself. `otherwise` stands in for what is undefined on the way.
  explicit AttributePath(const Value& attribute, std::optional<Value> otherwise = std::nullopt);

  Value Of(Value item) const;

 private:
  Values parts_;
  std::optional<Value> otherwise_;
};

// A string in lower case, everything else as it is.
Value IgnoreCase(const Value& value);

}  // namespace phalanx::jinja
