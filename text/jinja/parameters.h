// A call's arguments, sorted into the parameters of a built-in function.
#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

class Parameters {
 public:
  static constexpr size_t kMost = 8;

  // A name of "" can only be given by position. Throws where an argument is missing, unknown or
  // there twice. Keeps references into `arguments`.
  Parameters(std::string_view function, Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required = 0);

  bool Has(size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](size_t i) const { return *values_[i]; }
  Value ValueOr(size_t i, const Value& otherwise) const { return Has(i) ? *values_[i] : otherwise; }
  bool HasAndIsNotNone(size_t i) const { return Has(i) && !values_[i]->Is(Type::kNone); }
  bool IsTrueAt(size_t i) const;
  int64_t IntOr(size_t i, int64_t otherwise) const;
  // A string; throws for everything else.
  const std::string& Text(size_t i) const;
  // The string, or nullopt for None and where it is left out.
  std::optional<std::string_view> OptionalText(size_t i) const;

 private:
  std::string_view function_;
  std::array<const Value*, kMost> values_{};
};

}  // namespace phalanx::jinja
