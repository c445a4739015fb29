#include "worker/process_end.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

namespace phalanx {
namespace {

// PIDFD_GET_INFO of linux/pidfd.h, which is newer than the headers of Debian 12: the first version
// of the structure, which the kernel goes on accepting.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kInfoExit = 1U << 3;

std::optional<int> WaitStatusOfReaped(int pidfd) {
  PidfdInfo info{};
  info.mask = kInfoExit;
  if (pidfd < 0 || ioctl(pidfd, _IOWR(0xFF, 11, PidfdInfo), &info) != 0) return std::nullopt;
  if ((info.mask & kInfoExit) == 0) return std::nullopt;
  return info.exit_code;
}

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return fmt::format("signal {} ({})", number, strsignal(number));
  }
  return fmt::format("exit code {}", WEXITSTATUS(wait_status));
}

// Fields of /proc/PID/stat, numbered from 1 as in proc(5); the second one is in parentheses and may
// hold anything.
constexpr int kStateField = 3;
constexpr int kExitCodeField = 52;

}  // namespace

std::string DescribeProcess(int pid, int pidfd) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) {
    const std::optional<int> status = WaitStatusOfReaped(pidfd);
    return status ? DescribeEnd(*status) : "";
  }
  std::istringstream fields(line.substr(name_end + 1));
  std::string state;
  std::string value;
  fields >> state;
  for (int field = kStateField + 1; field <= kExitCodeField; ++field) fields >> value;
  if (state == "T") return "its process is stopped";
  if (state == "t") return "its process is held by a debugger";
  if (state == "D") return "its process is blocked in the kernel";
  return state == "Z" && fields ? DescribeEnd(std::atoi(value.c_str())) : "";
}

}  // namespace phalanx
