// How a benchmark's two processes talk: values of plain types over a socket.
#pragma once

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

}  // namespace phalanx::bench
