// The filters whose input is a number, or is to be one.
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "text/jinja/arithmetic.h"
#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Without the underscores that may stand between digits; nullopt where one stands elsewhere.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string out;
  const auto is_inner = [](char c) { return IsAlphanumeric(static_cast<unsigned char>(c)); };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
    } else if (i == 0 || i + 1 == text.size() || !is_inner(text[i - 1]) || !is_inner(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

// int(text, base).
std::optional<BigInt> ParseInteger(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  auto digits = WithoutUnderscores(Strip(text, Side::kBoth));
  if (!digits || digits->empty()) return std::nullopt;
  std::string sign;
  if ((*digits)[0] == '-' || (*digits)[0] == '+') {
    sign = (*digits)[0];
    digits->erase(0, 1);
  }
  if (digits->size() > 2 && (*digits)[0] == '0') {
    const char letter = static_cast<char>((*digits)[1] | 0x20);
    const int64_t prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix != 0 && (base == 0 || base == prefix)) {
      base = prefix;
      digits->erase(0, 2);
    }
  }
  if (base == 0) {
    // A leading zero would look like octal.
    if (digits->size() > 1 && (*digits)[0] == '0' &&
        digits->find_first_not_of('0') != std::string::npos) {
      return std::nullopt;
    }
    base = 10;
  }
  if (!digits->empty() && ((*digits)[0] == '-' || (*digits)[0] == '+')) return std::nullopt;
  return BigInt::FromDigits(sign + *digits, static_cast<uint32_t>(base));
}

// float(text).
std::optional<double> ParseFloat(std::string_view text) {
  const auto digits = WithoutUnderscores(Strip(text, Side::kBoth));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool is_negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  const std::string lower = ToLower(rest);
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (rest.empty() || !(IsDigit(rest[0]) || rest[0] == '.')) return std::nullopt;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (end != rest.data() + rest.size() || error == std::errc::invalid_argument) {
      return std::nullopt;
    }
    // from_chars leaves the value alone where it is too large or too small.
    if (error == std::errc::result_out_of_range) value = std::strtod(lower.c_str(), nullptr);
  }
  return is_negative ? -value : value;
}

Value Int(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("int", arguments, {"default", "base"});
  Value otherwise = parameters.ValueOr(0, Value::Int(0));
  if (input.IsUndefined()) ThrowUndefined(input);
  if (input.IsInteger()) return Truncated(input);
  if (input.Is(Type::kFloat)) {
    if (std::isnan(input.real())) return otherwise;
    return Truncated(input);
  }
  if (!input.IsString()) return otherwise;
  if (auto whole = ParseInteger(input.str(), parameters.IntOr(1, 10))) {
    return Value::Int(*std::move(whole));
  }
  const auto real = ParseFloat(input.str());
  if (!real || !std::isfinite(*real)) return otherwise;
  return Truncated(Value::Float(*real));
}

Value Float(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("float", arguments, {"default"});
  if (input.IsUndefined()) ThrowUndefined(input);
  if (input.IsNumber()) {
    const double value = ToDouble(input);
    if (input.IsInteger() && std::isinf(value)) {
      Throw(ErrorKind::kValue, "int too large to convert to float");
    }
    return Value::Float(value);
  }
  const auto real = input.IsString() ? ParseFloat(input.str()) : std::nullopt;
  return real ? Value::Float(*real) : parameters.ValueOr(0, Value::Float(0));
}

Value RoundFilter(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("round", arguments, {"precision", "method"});
  const Value precision = parameters.ValueOr(0, Value::Int(0));
  const std::string method = parameters.Has(1) ? parameters.Text(1) : "common";
  if (method == "common") {
    return precision.Is(Type::kNone) ? Round(input, nullptr) : Round(input, &precision);
  }
  if (method != "ceil" && method != "floor") {
    Throw(ErrorKind::kValue, "round: method must be common, ceil or floor");
  }
  const Value unit = Binary(BinaryOp::kPow, Value::Int(10), precision);
  const Value scaled = Binary(BinaryOp::kMul, input, unit);
  if (!scaled.IsNumber())
    Throw(ErrorKind::kType, "round takes a number, not '{}'", TypeName(input));
  Value whole = scaled;
  if (scaled.Is(Type::kFloat)) {
    whole = Truncated(
        Value::Float(method == "ceil" ? std::ceil(scaled.real()) : std::floor(scaled.real())));
  }
  return Binary(BinaryOp::kDiv, whole, unit);
}

Value Absolute(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("abs", arguments, {});
  if (input.IsUndefined()) ThrowUndefined(input);
  if (input.Is(Type::kFloat)) return Value::Float(std::fabs(input.real()));
  if (!input.IsInteger())
    Throw(ErrorKind::kType, "bad operand type for abs: '{}'", TypeName(input));
  const BigInt value = ToBigInt(input);
  return Value::Int(value.IsNegative() ? -value : value);
}

constexpr FilterEntry kFilters[] = {
    {"int", Int}, {"float", Float}, {"round", RoundFilter}, {"abs", Absolute}};

}  // namespace

std::span<const FilterEntry> NumberFilters() { return kFilters; }

}  // namespace phalanx::jinja
