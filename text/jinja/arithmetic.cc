#include "text/jinja/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"

namespace phalanx::jinja {
namespace {

double CheckedDouble(const Value& number) {
  const double value = ToDouble(number);
  if (number.Is(Type::kBigInt) && std::isinf(value)) {
    Throw(ErrorKind::kValue, "int too large to convert to float");
  }
  return value;
}

[[noreturn]] void ThrowZeroDivision() { Throw(ErrorKind::kValue, "division by zero"); }

// Python's float modulo and floor division (Objects/floatobject.c describes the rounding).
double FloatMod(double left, double right) {
  if (right == 0) ThrowZeroDivision();
  double mod = std::fmod(left, right);
  if (mod != 0) {
    if ((right < 0) != (mod < 0)) mod += right;
  } else {
    mod = std::copysign(0.0, right);
  }
  return mod;
}

double FloatFloorDiv(double left, double right) {
  if (right == 0) ThrowZeroDivision();
  double mod = std::fmod(left, right);
  double quotient = (left - mod) / right;
  if (mod != 0 && (right < 0) != (mod < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, left / right);
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1;
  return floored;
}

double FloatPow(double base, double exponent) {
  if (base == 0 && exponent < 0) {
    Throw(ErrorKind::kValue, "0.0 cannot be raised to a negative power");
  }
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) &&
      exponent != std::floor(exponent)) {
    Throw(ErrorKind::kValue, "complex numbers are not supported");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    Throw(ErrorKind::kValue, "the result of ** is too large");
  }
  return result;
}

Value FloatArithmetic(BinaryOp op, double left, double right) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(left + right);
    case BinaryOp::kSub:
      return Value::Float(left - right);
    case BinaryOp::kMul:
      return Value::Float(left * right);
    case BinaryOp::kDiv:
      if (right == 0) ThrowZeroDivision();
      return Value::Float(left / right);
    case BinaryOp::kFloorDiv:
      return Value::Float(FloatFloorDiv(left, right));
    case BinaryOp::kMod:
      return Value::Float(FloatMod(left, right));
    case BinaryOp::kPow:
      return Value::Float(FloatPow(left, right));
  }
  return {};
}

// The quotient of integers, rounded once.
double TrueQuotient(const BigInt& left, const BigInt& right) {
  constexpr int64_t kExact = int64_t{1} << 53;
  const auto small_left = left.ToInt64();
  const auto small_right = right.ToInt64();
  const auto is_exact = [](const std::optional<int64_t>& value) {
    return value && *value <= kExact && *value >= -kExact;
  };
  if (is_exact(small_left) && is_exact(small_right)) {
    return static_cast<double>(*small_left) / static_cast<double>(*small_right);
  }
  // As many bits as a double rounds from; the lowest one says whether anything is left.
  const int64_t shift = std::max<int64_t>(66 - (left.Bits() - right.Bits()), 0);
  const BigInt scaled = left * BigInt(2).Pow(static_cast<uint64_t>(shift));
  auto [quotient, rest] = scaled.FloorDivMod(right);
  quotient = quotient + quotient;
  if (!rest.IsZero()) quotient = quotient + BigInt(1);
  return std::ldexp(quotient.ToDouble(), static_cast<int>(-shift - 1));
}

Value IntPow(const Value& left, const Value& right) {
  const BigInt exponent = ToBigInt(right);
  if (exponent.IsNegative()) return Value::Float(FloatPow(CheckedDouble(left), ToDouble(right)));
  const auto small = exponent.ToInt64();
  if (!small) {
    // Only what needs no multiplication has so large an exponent.
    const auto base = ToBigInt(left).ToInt64();
    if (!base || *base < -1 || *base > 1) Throw(ErrorKind::kLimit, "the result of ** is too large");
    if (*base >= 0) return Value::Int(*base);
    return Value::Int(exponent.FloorDivMod(BigInt(2)).second.IsZero() ? 1 : -1);
  }
  return Value::Int(ToBigInt(left).Pow(static_cast<uint64_t>(*small)));
}

// nullopt-free fast path: true where the result is in `*result`.
bool SmallArithmetic(BinaryOp op, int64_t left, int64_t right, int64_t* result) {
  switch (op) {
    case BinaryOp::kAdd:
      return !__builtin_add_overflow(left, right, result);
    case BinaryOp::kSub:
      return !__builtin_sub_overflow(left, right, result);
    case BinaryOp::kMul:
      return !__builtin_mul_overflow(left, right, result);
    case BinaryOp::kFloorDiv:
    case BinaryOp::kMod: {
      if (right == 0) ThrowZeroDivision();
      if (right == -1) return false;  // the least integer has no negative
      const int64_t rest = left % right;
      const bool adjust = rest != 0 && (rest < 0) != (right < 0);
      *result =
          op == BinaryOp::kMod ? rest + (adjust ? right : 0) : left / right - (adjust ? 1 : 0);
      return true;
    }
    case BinaryOp::kDiv:
    case BinaryOp::kPow:
      return false;
  }
  return false;
}

Value BigArithmetic(BinaryOp op, const BigInt& left, const BigInt& right) {
  if (op == BinaryOp::kAdd) return Value::Int(left + right);
  if (op == BinaryOp::kSub) return Value::Int(left - right);
  if (op == BinaryOp::kMul) return Value::Int(left * right);
  if (right.IsZero()) ThrowZeroDivision();
  auto [quotient, rest] = left.FloorDivMod(right);
  return Value::Int(op == BinaryOp::kFloorDiv ? std::move(quotient) : std::move(rest));
}

}  // namespace

double ToDouble(const Value& number) {
  if (number.Is(Type::kFloat)) return number.real();
  if (number.Is(Type::kBigInt)) return number.big().ToDouble();
  return static_cast<double>(number.integer());
}

BigInt ToBigInt(const Value& integer) {
  return integer.Is(Type::kBigInt) ? integer.big() : BigInt(integer.integer());
}

Value Arithmetic(BinaryOp op, const Value& left, const Value& right) {
  if (left.Is(Type::kFloat) || right.Is(Type::kFloat)) {
    return FloatArithmetic(op, CheckedDouble(left), CheckedDouble(right));
  }
  if (op == BinaryOp::kDiv) {
    if (!IsTrue(right)) ThrowZeroDivision();
    const double quotient = TrueQuotient(ToBigInt(left), ToBigInt(right));
    if (!std::isfinite(quotient)) Throw(ErrorKind::kValue, "int too large to convert to float");
    return Value::Float(quotient);
  }
  if (op == BinaryOp::kPow) return IntPow(left, right);
  int64_t result = 0;
  if (!left.Is(Type::kBigInt) && !right.Is(Type::kBigInt) &&
      SmallArithmetic(op, left.integer(), right.integer(), &result)) {
    return Value::Int(result);
  }
  return BigArithmetic(op, ToBigInt(left), ToBigInt(right));
}

bool NumbersEqual(const Value& left, const Value& right) {
  if (left.Is(Type::kFloat) || right.Is(Type::kFloat)) {
    const Value& real = left.Is(Type::kFloat) ? left : right;
    const Value& other = left.Is(Type::kFloat) ? right : left;
    if (other.Is(Type::kFloat)) return left.real() == right.real();
    if (real.real() != std::floor(real.real())) return false;
    const auto whole = BigInt::FromDouble(real.real());
    return whole && whole->Compare(ToBigInt(other)) == 0;
  }
  if (left.Is(Type::kBigInt) || right.Is(Type::kBigInt)) {
    return ToBigInt(left).Compare(ToBigInt(right)) == 0;
  }
  return left.integer() == right.integer();
}

bool NumbersOrdered(CompareOp op, const Value& left, const Value& right) {
  if (left.Is(Type::kFloat) || right.Is(Type::kFloat)) {
    if (op == CompareOp::kLe && NumbersEqual(left, right)) return true;
    if (op == CompareOp::kLt && NumbersEqual(left, right)) return false;
    return ToDouble(left) < ToDouble(right);
  }
  if (left.Is(Type::kBigInt) || right.Is(Type::kBigInt)) {
    const int order = ToBigInt(left).Compare(ToBigInt(right));
    return op == CompareOp::kLe ? order <= 0 : order < 0;
  }
  return op == CompareOp::kLe ? left.integer() <= right.integer()
                              : left.integer() < right.integer();
}

Value Truncated(const Value& number) {
  if (number.Is(Type::kBool)) return Value::Int(number.integer());
  if (number.IsInteger()) return number;
  auto whole = BigInt::FromDouble(number.real());
  if (!whole) Throw(ErrorKind::kValue, "cannot convert float infinity or NaN to integer");
  return Value::Int(*std::move(whole));
}

Value Round(const Value& number, const Value* digits) {
  const int64_t places = digits == nullptr ? 0 : ToIndex(*digits, "the precision");
  if (number.IsInteger()) {
    if (places >= 0) return Truncated(number);
    if (places < -static_cast<int64_t>(BigInt::kMaxDigits)) return Value::Int(0);
    const BigInt unit = BigInt(10).Pow(static_cast<uint64_t>(-places));
    const auto [quotient, rest] = ToBigInt(number).FloorDivMod(unit);
    const int half = (rest + rest).Compare(unit);
    const bool is_odd = !quotient.FloorDivMod(BigInt(2)).second.IsZero();
    const bool up = half > 0 || (half == 0 && is_odd);
    return Value::Int((up ? quotient + BigInt(1) : quotient) * unit);
  }
  if (!number.Is(Type::kFloat)) {
    if (number.IsUndefined()) ThrowUndefined(number);
    Throw(ErrorKind::kType, "type {} cannot be rounded", TypeName(number));
  }
  const double value = number.real();
  if (digits == nullptr) return Truncated(Value::Float(std::nearbyint(value)));
  if (!std::isfinite(value) || places > 330) return number;
  if (places < -330) return Value::Float(std::copysign(0.0, value));
  if (places < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-places));
    return Value::Float(std::nearbyint(value / unit) * unit);
  }
  // The decimal text is exact, so reading it back rounds once.
  return Value::Float(std::strtod(fmt::format("{:.{}f}", value, places).c_str(), nullptr));
}

}  // namespace phalanx::jinja
