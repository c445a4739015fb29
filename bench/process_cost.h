// What the kernel charges this process.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace phalanx::bench {

inline double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Of the process `pid`, a number or "self".
inline double ResidentMib(const std::string& pid = "self") {
  size_t total_pages = 0;
  size_t resident_pages = 0;
  std::ifstream("/proc/" + pid + "/statm") >> total_pages >> resident_pages;
  return static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) /
         (1 << 20);
}

}  // namespace phalanx::bench
