// What this process may use of its host: memory, CPUs, and its place among the ranks there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phalanx {

// Where the launcher put this rank; {0, 1} where there is none. Open MPI's variables.
struct LocalRank {
  int index = 0;
  int count = 1;
};
LocalRank FindLocalRank();

// Bytes that can be allocated without pushing others out: the smaller of the kernel's MemAvailable
// and what the control groups of this process leave. 0 where neither is known.
int64_t AvailableMemoryBytes();

// CPUs of the host that this process's control group allows, whatever mask the launcher set.
// Ascending.
std::vector<int> AllowedCpus();

// The part of `cpus` that the rank has for itself; one CPU, shared, where ranks outnumber CPUs.
std::vector<int> CpuSlice(const std::vector<int>& cpus, const LocalRank& local);

std::string HostName();

// Kilobytes of the named line of /proc/self/smaps_rollup or /proc/self/status, e.g. "Pss", "VmHWM".
int64_t ProcessMemoryKib(const char* file, const char* name);

}  // namespace phalanx
