#include "text/jinja/attribute_path.h"

#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/big_int.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {

AttributePath::AttributePath(const Value& attribute, std::optional<Value> otherwise)
    : otherwise_(std::move(otherwise)) {
  if (otherwise_ && otherwise_->Is(Type::kNone)) otherwise_.reset();
  if (attribute.Is(Type::kNone)) return;
  if (!attribute.IsString()) {
    parts_.push_back(attribute);
    return;
  }
  for (const std::string_view part : Split(attribute.str(), ".", -1)) {
    const auto number =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos
            ? BigInt::FromDigits(part, 10)
            : std::nullopt;
    parts_.push_back(number ? Value::Int(*number) : Value::String(std::string(part)));
  }
}

Value AttributePath::Of(Value item) const {
  for (const Value& part : parts_) {
    item = GetItem(item, part);
    if (otherwise_ && item.IsUndefined()) item = *otherwise_;
  }
  return item;
}

Value IgnoreCase(const Value& value) {
  if (!value.IsString()) return value;
  return Value::String(ToLower(value.str()), value.is_markup() ? Markup::kYes : Markup::kNo);
}

}  // namespace phalanx::jinja
