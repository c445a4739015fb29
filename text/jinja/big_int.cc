#include "text/jinja/big_int.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/error.h"

namespace phalanx::jinja {
namespace {

void Trim(std::vector<uint32_t>* limbs) {
  while (!limbs->empty() && limbs->back() == 0) limbs->pop_back();
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

}  // namespace

BigInt BigInt::Make(Limbs limbs, bool negative) {
  Trim(&limbs);
  if (limbs.size() > kMaxLimbs) {
    Throw(ErrorKind::kLimit, "an integer has more than {} digits", kMaxDigits);
  }
  BigInt result;
  result.negative_ = negative && !limbs.empty();
  result.limbs_ = std::move(limbs);
  return result;
}

BigInt::BigInt(int64_t value) : negative_(value < 0) {
  uint64_t magnitude = static_cast<uint64_t>(value);
  if (negative_) magnitude = 0 - magnitude;
  for (; magnitude != 0; magnitude >>= 32) limbs_.push_back(static_cast<uint32_t>(magnitude));
}

std::optional<BigInt> BigInt::FromDouble(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  int exponent = 0;
  const double fraction = std::frexp(std::trunc(std::fabs(value)), &exponent);
  auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, 53));
  exponent -= 53;
  if (exponent < 0) {
    mantissa >>= std::min(-exponent, 63);
    exponent = 0;
  }
  Limbs limbs(static_cast<size_t>(exponent) / 32, 0);
  unsigned __int128 rest = mantissa;
  for (rest <<= exponent % 32; rest != 0; rest >>= 32) {
    limbs.push_back(static_cast<uint32_t>(rest));
  }
  return Make(std::move(limbs), value < 0);
}

std::optional<BigInt> BigInt::FromDigits(std::string_view digits, uint32_t base) {
  bool negative = false;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) {
    negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.empty() || digits.size() > kMaxDigits) return std::nullopt;
  Limbs limbs;
  for (const char c : digits) {
    const int digit = DigitValue(c);
    if (digit >= static_cast<int>(base)) return std::nullopt;
    auto carry = static_cast<uint64_t>(digit);
    for (uint32_t& limb : limbs) {
      carry += uint64_t{limb} * base;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<uint32_t>(carry));
  }
  if (limbs.size() > kMaxLimbs) return std::nullopt;
  return Make(std::move(limbs), negative);
}

int64_t BigInt::Bits() const {
  if (limbs_.empty()) return 0;
  return static_cast<int64_t>(limbs_.size()) * 32 - __builtin_clz(limbs_.back());
}

std::optional<int64_t> BigInt::ToInt64() const {
  if (limbs_.size() > 2) return std::nullopt;
  uint64_t magnitude = 0;
  for (size_t i = limbs_.size(); i-- > 0;) magnitude = magnitude << 32 | limbs_[i];
  constexpr uint64_t kTop = uint64_t{1} << 63;
  if (magnitude > kTop || (magnitude == kTop && !negative_)) return std::nullopt;
  return static_cast<int64_t>(negative_ ? 0 - magnitude : magnitude);
}

double BigInt::ToDouble() const {
  if (limbs_.empty()) return 0;
  const auto bits = static_cast<size_t>(Bits());
  // The top 64 bits, the lowest of which also says whether anything below is set: that rounds as
  // the whole number does.
  const size_t drop = bits > 64 ? bits - 64 : 0;
  uint64_t top = 0;
  bool is_sticky = false;
  for (size_t i = limbs_.size(); i-- > 0;) {
    const size_t low = i * 32;
    if (low >= drop) {
      top |= uint64_t{limbs_[i]} << (low - drop);
    } else if (low + 32 > drop) {
      top |= limbs_[i] >> (drop - low);
      is_sticky |= (limbs_[i] & ((uint32_t{1} << (drop - low)) - 1)) != 0;
    } else {
      is_sticky |= limbs_[i] != 0;
    }
  }
  if (is_sticky) top |= 1;
  const double magnitude = std::ldexp(static_cast<double>(top), static_cast<int>(drop));
  return negative_ ? -magnitude : magnitude;
}

std::string BigInt::ToString(uint32_t base) const {
  if (limbs_.empty()) return "0";
  std::string digits;
  Limbs rest = limbs_;
  while (!rest.empty()) {
    digits.push_back("0123456789abcdefghijklmnopqrstuvwxyz"[DivSmall(&rest, base)]);
  }
  if (base == 10 && digits.size() > kMaxDigits) {
    Throw(ErrorKind::kValue, "an integer has more than {} digits", kMaxDigits);
  }
  if (negative_) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

int BigInt::CompareMagnitude(const Limbs& a, const Limbs& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  for (size_t i = a.size(); i-- > 0;) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

BigInt::Limbs BigInt::AddMagnitude(const Limbs& a, const Limbs& b) {
  Limbs sum;
  uint64_t carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()) || carry != 0; ++i) {
    carry += (i < a.size() ? a[i] : 0);
    carry += (i < b.size() ? b[i] : 0);
    sum.push_back(static_cast<uint32_t>(carry));
    carry >>= 32;
  }
  return sum;
}

BigInt::Limbs BigInt::SubMagnitude(const Limbs& a, const Limbs& b) {
  Limbs difference = a;
  int64_t borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int64_t limb = int64_t{a[i]} - (i < b.size() ? b[i] : 0) - borrow;
    borrow = limb < 0 ? 1 : 0;
    difference[i] = static_cast<uint32_t>(limb);
  }
  Trim(&difference);
  return difference;
}

uint32_t BigInt::DivSmall(Limbs* limbs, uint32_t divisor) {
  uint64_t remainder = 0;
  for (size_t i = limbs->size(); i-- > 0;) {
    remainder = remainder << 32 | (*limbs)[i];
    (*limbs)[i] = static_cast<uint32_t>(remainder / divisor);
    remainder %= divisor;
  }
  Trim(limbs);
  return static_cast<uint32_t>(remainder);
}

std::pair<BigInt::Limbs, BigInt::Limbs> BigInt::DivMagnitude(const Limbs& a, const Limbs& b) {
  if (CompareMagnitude(a, b) < 0) return {{}, a};
  Limbs quotient(a.size(), 0);
  Limbs rest;
  if (b.size() == 1) {
    quotient = a;
    const uint32_t remainder = DivSmall(&quotient, b[0]);
    if (remainder != 0) rest.push_back(remainder);
    return {quotient, rest};
  }
  for (size_t bit = a.size() * 32; bit-- > 0;) {
    uint32_t carry = a[bit / 32] >> (bit % 32) & 1;
    for (uint32_t& limb : rest) {
      const uint32_t top = limb >> 31;
      limb = limb << 1 | carry;
      carry = top;
    }
    if (carry != 0) rest.push_back(carry);
    if (CompareMagnitude(rest, b) >= 0) {
      rest = SubMagnitude(rest, b);
      quotient[bit / 32] |= uint32_t{1} << (bit % 32);
    }
  }
  Trim(&quotient);
  return {quotient, rest};
}

BigInt BigInt::operator-() const { return Make(limbs_, !negative_); }

BigInt BigInt::operator+(const BigInt& other) const {
  if (negative_ == other.negative_) return Make(AddMagnitude(limbs_, other.limbs_), negative_);
  if (CompareMagnitude(limbs_, other.limbs_) >= 0) {
    return Make(SubMagnitude(limbs_, other.limbs_), negative_);
  }
  return Make(SubMagnitude(other.limbs_, limbs_), other.negative_);
}

BigInt BigInt::operator*(const BigInt& other) const {
  Limbs product(limbs_.size() + other.limbs_.size(), 0);
  for (size_t i = 0; i < limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < other.limbs_.size(); ++j) {
      carry += uint64_t{limbs_[i]} * other.limbs_[j] + product[i + j];
      product[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    product[i + other.limbs_.size()] = static_cast<uint32_t>(carry);
  }
  return Make(std::move(product), negative_ != other.negative_);
}

BigInt BigInt::Pow(uint64_t exponent) const {
  BigInt result(1);
  if (limbs_.empty() && exponent > 0) return {};
  if (limbs_.size() == 1 && limbs_[0] == 1) return exponent % 2 == 0 ? result : *this;
  for (BigInt square = *this; exponent != 0;) {
    if (exponent & 1) result = result * square;
    exponent >>= 1;
    if (exponent != 0) square = square * square;
  }
  return result;
}

std::pair<BigInt, BigInt> BigInt::FloorDivMod(const BigInt& divisor) const {
  auto [quotient, rest] = DivMagnitude(limbs_, divisor.limbs_);
  if (negative_ == divisor.negative_) {
    return {Make(std::move(quotient), false), Make(std::move(rest), negative_)};
  }
  if (rest.empty()) return {Make(std::move(quotient), true), {}};
  return {Make(AddMagnitude(quotient, {1}), true),
          Make(SubMagnitude(divisor.limbs_, rest), divisor.negative_)};
}

int BigInt::Compare(const BigInt& other) const {
  if (negative_ != other.negative_) return negative_ ? -1 : 1;
  const int magnitude = CompareMagnitude(limbs_, other.limbs_);
  return negative_ ? -magnitude : magnitude;
}

}  // namespace phalanx::jinja
