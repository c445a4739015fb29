#include "bench/process_age.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "kernels/base/check.h"

namespace phalanx {

double ProcessAgeSeconds() {
  std::ifstream file("/proc/self/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  // Behind the name, which may hold anything, in parentheses: field 3 and those that follow.
  const size_t name_end = stat.rfind(')');
  PHALANX_CHECK(name_end != std::string::npos);
  std::istringstream fields(stat.substr(name_end + 1));
  constexpr int kStartTime = 22;  // proc(5)
  std::string field;
  for (int number = 3; number <= kStartTime; ++number) fields >> field;
  timespec now{};
  PHALANX_CHECK_EQ(clock_gettime(CLOCK_BOOTTIME, &now), 0);
  const double since_boot =
      static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  return since_boot - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace phalanx
