// Python's arithmetic on ints of any size, bools and floats.
#pragma once

#include "text/jinja/operators.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

// Both operands are numbers.
Value Arithmetic(BinaryOp op, const Value& left, const Value& right);
bool NumbersEqual(const Value& left, const Value& right);
// left < right for kLt, left <= right for kLe.
bool NumbersOrdered(CompareOp op, const Value& left, const Value& right);

// round(number, digits), half to even; without `digits` an integer.
Value Round(const Value& number, const Value* digits);

// int(number); throws for infinities and NaN.
Value Truncated(const Value& number);

}  // namespace phalanx::jinja
