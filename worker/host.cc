#include "worker/host.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

namespace phalanx {
namespace {

int EnvironmentInt(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// The number in the file; the largest where it holds none ("max") or cannot be read.
int64_t ReadLimit(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : std::numeric_limits<int64_t>::max();
}

// The number behind `name` and blanks in a file of such lines; -1 where there is none.
int64_t ReadField(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, name.size(), name) != 0) continue;
    const size_t digit = line.find_first_of("0123456789", name.size());
    if (digit != std::string::npos) return std::atoll(line.c_str() + digit);
  }
  return -1;
}

// What is left below the limit of a control group and all its ancestors. Page cache counts as used
// there and can be given back, so it is added.
int64_t CgroupRoomBytes() {
  int64_t room = std::numeric_limits<int64_t>::max();
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const bool is_v2 = line.rfind("0::", 0) == 0;
    const size_t v1 = line.find(":memory:");
    if (!is_v2 && v1 == std::string::npos) continue;
    const std::string root = is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    std::string group = is_v2 ? line.substr(3) : line.substr(v1 + 8);
    while (true) {
      const std::string folder = root + group;
      const std::string limit_file = is_v2 ? "/memory.max" : "/memory.limit_in_bytes";
      const std::string usage_file = is_v2 ? "/memory.current" : "/memory.usage_in_bytes";
      const int64_t limit = ReadLimit(folder + limit_file);
      const int64_t usage = ReadLimit(folder + usage_file);
      if (limit < std::numeric_limits<int64_t>::max() / 2 && usage <= limit) {
        const int64_t cache =
            std::max<int64_t>(ReadField(folder + "/memory.stat", "inactive_file"), 0);
        room = std::min(room, limit - usage + cache);
      }
      if (group.empty() || group == "/") break;
      group.resize(group.rfind('/'));
    }
  }
  return room;
}

}  // namespace

LocalRank FindLocalRank() {
  const LocalRank local{.index = EnvironmentInt("OMPI_COMM_WORLD_LOCAL_RANK", 0),
                        .count = EnvironmentInt("OMPI_COMM_WORLD_LOCAL_SIZE", 1)};
  return local.index >= 0 && local.index < local.count ? local : LocalRank{};
}

int64_t AvailableMemoryBytes() {
  const int64_t kib = ReadField("/proc/meminfo", "MemAvailable:");
  const int64_t room = CgroupRoomBytes();
  if (kib < 0) return room == std::numeric_limits<int64_t>::max() ? 0 : room;
  return std::min(kib * 1024, room);
}

std::vector<int> AllowedCpus() {
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof(before), &before);
  // The kernel cuts a mask of all CPUs down to what the control group allows.
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
  cpu_set_t allowed = before;
  if (sched_setaffinity(0, sizeof(all), &all) == 0) {
    sched_getaffinity(0, sizeof(allowed), &allowed);
  }
  sched_setaffinity(0, sizeof(before), &before);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<int> CpuSlice(const std::vector<int>& cpus, const LocalRank& local) {
  const auto count = static_cast<size_t>(local.count);
  const auto index = static_cast<size_t>(local.index);
  if (cpus.size() <= count) {
    return cpus.empty() ? cpus : std::vector<int>{cpus[index % cpus.size()]};
  }
  const auto begin = static_cast<std::ptrdiff_t>(index * cpus.size() / count);
  const auto end = static_cast<std::ptrdiff_t>((index + 1) * cpus.size() / count);
  return {cpus.begin() + begin, cpus.begin() + end};
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

int64_t ProcessMemoryKib(const char* file, const char* name) {
  return std::max<int64_t>(ReadField(file, std::string(name) + ":"), 0);
}

}  // namespace phalanx
