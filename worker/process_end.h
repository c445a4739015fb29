// What the kernel tells of another process that ended or does not run.
#pragma once

#include <string>

namespace phalanx {

// "signal 9 (Killed)", "exit code 1", "its process is stopped"; empty where nothing is known. Of a
// process that ended: as long as its parent has not asked, and from Linux 6.15 on also later.
// `pidfd` may be -1.
std::string DescribeProcess(int pid, int pidfd);

}  // namespace phalanx
