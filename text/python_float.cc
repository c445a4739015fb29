#include "text/python_float.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "kernels/base/check.h"

namespace phalanx {

std::string PythonFloat(double value) {
  PHALANX_CHECK(std::isfinite(value));
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value),
                                 std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));  // d[.ddd]e[+-]dd
  const size_t e = text.find('e');
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  const int point = std::atoi(std::string(text.substr(e + 1)).c_str()) + 1;  // digits before it
  const auto count = static_cast<int>(digits.size());

  std::string out(std::signbit(value) ? 1 : 0, '-');
  if (point > 16 || point < -3) {
    const std::string_view fraction = std::string_view(digits).substr(1);
    return out + fmt::format("{}{}{}e{}{:02}", digits[0], fraction.empty() ? "" : ".", fraction,
                             point > 0 ? '+' : '-', std::abs(point - 1));
  }
  if (point <= 0) return out + fmt::format("0.{:0>{}}", digits, count - point);
  if (point >= count) return out + fmt::format("{:0<{}}.0", digits, point);
  const auto whole = static_cast<size_t>(point);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace phalanx
