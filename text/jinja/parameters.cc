#include "text/jinja/parameters.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "text/jinja/error.h"
#include "text/jinja/operators.h"

namespace phalanx::jinja {

Parameters::Parameters(std::string_view function, Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t required)
    : function_(function) {
  PHALANX_CHECK(names.size() <= kMost);
  if (arguments.positional.size() > names.size()) {
    Throw(ErrorKind::kType, "{} takes at most {} arguments, got {}", function, names.size(),
          arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const Keyword& keyword : arguments.keywords) {
    const auto* name = std::find(names.begin(), names.end(), keyword.name);
    if (name == names.end() || keyword.name.empty()) {
      Throw(ErrorKind::kType, "{} takes no keyword argument '{}'", function, keyword.name);
    }
    const Value*& value = values_[static_cast<size_t>(name - names.begin())];
    if (value != nullptr) {
      Throw(ErrorKind::kType, "{} got two values for '{}'", function, keyword.name);
    }
    value = &keyword.value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) {
      Throw(ErrorKind::kType, "{} misses its argument {}", function, i + 1);
    }
  }
}

bool Parameters::IsTrueAt(size_t i) const { return Has(i) && IsTrue(*values_[i]); }

int64_t Parameters::IntOr(size_t i, int64_t otherwise) const {
  return Has(i) ? ToIndex(*values_[i], function_) : otherwise;
}

const std::string& Parameters::Text(size_t i) const {
  const Value& value = *values_[i];
  if (value.IsUndefined()) ThrowUndefined(value);
  if (!value.IsString()) {
    Throw(ErrorKind::kType, "{} takes a string, not '{}'", function_, TypeName(value));
  }
  return value.str();
}

std::optional<std::string_view> Parameters::OptionalText(size_t i) const {
  if (!HasAndIsNotNone(i)) return std::nullopt;
  return Text(i);
}

}  // namespace phalanx::jinja
