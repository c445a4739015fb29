// Python's operators.
#pragma once

#include <string>

#include "text/jinja/value.h"

namespace phalanx::jinja {

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

// Strings and lists that an operator makes are at most this long.
inline constexpr size_t kMaxStringBytes = size_t{16} << 20;
inline constexpr size_t kMaxListItems = 1'000'000;

bool IsTrue(const Value& value);

Value Binary(BinaryOp op, const Value& left, const Value& right);
Value Negative(const Value& value);
Value Positive(const Value& value);

bool Equals(const Value& left, const Value& right);
bool Less(const Value& left, const Value& right);  // throws where there is no order
bool Compare(CompareOp op, const Value& left, const Value& right);
bool Contains(const Value& container, const Value& item);

double ToDouble(const Value& number);  // infinite where an integer is too large
BigInt ToBigInt(const Value& integer);

// len(); throws for what has none.
int64_t LengthOf(const Value& value);

// An int64_t from an integer, as an index takes it; throws with `what` for everything else. Beyond
// 64 bits it is the nearest.
int64_t ToIndex(const Value& value, std::string_view what);

// value[start:stop:step]; none where a part is left out.
Value Slice(const Value& value, const Value& start, const Value& stop, const Value& step);

// What an undefined value throws where it is used.
[[noreturn]] void ThrowUndefined(const Value& undefined);

// `text` plus `other`, both strings: what is no markup is escaped where the other one is.
Value Concatenate(const Value& left, const Value& right);

// &, <, >, ' and " as HTML entities, as markupsafe writes them.
std::string EscapeHtml(std::string_view text);

}  // namespace phalanx::jinja
