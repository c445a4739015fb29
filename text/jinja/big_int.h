// Integers beyond 64 bits, as large as Python prints them (4,300 digits). Sign and magnitude, base
// 2^32; the schoolbook algorithms (Knuth, The Art of Computer Programming, volume 2, 4.3.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace phalanx::jinja {

class BigInt {
 public:
  static constexpr size_t kMaxDigits = 4300;
  static constexpr size_t kMaxLimbs = 448;  // a little more than kMaxDigits need

  BigInt() = default;  // 0
  explicit BigInt(int64_t value);
  // nullopt: infinite or no number. The fraction is cut off.
  static std::optional<BigInt> FromDouble(double value);
  // Digits of `base`, with an optional sign; nullopt: something else, or more than kMaxDigits.
  static std::optional<BigInt> FromDigits(std::string_view digits, uint32_t base);

  bool IsZero() const { return limbs_.empty(); }
  bool IsNegative() const { return negative_; }
  int64_t Bits() const;  // of the magnitude; 0 for 0
  std::optional<int64_t> ToInt64() const;
  double ToDouble() const;  // infinite where it is too large
  std::string ToString(uint32_t base = 10) const;

  BigInt operator-() const;
  // Each throws where the result is too large.
  BigInt operator+(const BigInt& other) const;
  BigInt operator-(const BigInt& other) const { return *this + -other; }
  BigInt operator*(const BigInt& other) const;
  BigInt Pow(uint64_t exponent) const;
  // Rounded towards minus infinity, the remainder with the divisor's sign. The divisor is not 0.
  std::pair<BigInt, BigInt> FloorDivMod(const BigInt& divisor) const;

  int Compare(const BigInt& other) const;  // -1, 0, 1

 private:
  using Limbs = std::vector<uint32_t>;  // lowest first, no zeros on top

  static int CompareMagnitude(const Limbs& a, const Limbs& b);
  static Limbs AddMagnitude(const Limbs& a, const Limbs& b);
  static Limbs SubMagnitude(const Limbs& a, const Limbs& b);  // a >= b
  static std::pair<Limbs, Limbs> DivMagnitude(const Limbs& a, const Limbs& b);
  static uint32_t DivSmall(Limbs* limbs, uint32_t divisor);  // returns the remainder
  static BigInt Make(Limbs limbs, bool negative);

  Limbs limbs_;
  bool negative_ = false;
};

}  // namespace phalanx::jinja
