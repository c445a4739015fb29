// How a benchmark's two processes talk: values of plain types over a socket.
#pragma once

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/check.h"

namespace phalanx::bench {

class ProcessChannel {
 public:
  explicit ProcessChannel(int fd) : fd_(fd) {}

  template <typename Value>
  void Say(const Value& value) {
    PHALANX_CHECK(::write(fd_, &value, sizeof(value)) == sizeof(value));
  }
  template <typename Value>
  Value Hear() {
    Value value{};
    PHALANX_CHECK(::read(fd_, &value, sizeof(value)) == sizeof(value));
    return value;
  }

 private:
  const int fd_;
};

// Runs `child` in a process of its own and `parent` in this one, each with its end of a channel;
// the value is the parent's, once the child has ended. To be called before the process has threads.
template <typename Child, typename Parent>
int RunAsTwoProcesses(Child&& child, Parent&& parent) {
  int ends[2];
  PHALANX_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    child(ProcessChannel(ends[1]));
    ::_exit(0);
  }
  ::close(ends[1]);
  const int result = parent(ProcessChannel(ends[0]));
  ::waitpid(pid, nullptr, 0);
  return result;
}

}  // namespace phalanx::bench
