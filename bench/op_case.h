// One op on one shape: how to check it, how to run it, what it must at least do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace phalanx {

struct OpCase {
  std::string op;
  std::string shape;
  double bytes = 0.0;  // that one run must read or write at least once in memory
  double flop = 0.0;   // of one run
  // Of bf16 tiles, where the op runs on them: then arithmetic is limited by these.
  double tile_flop = 0.0;
  // Runs in one measurement: all buffers of a rotation that is larger than the caches, or enough to
  // be timed.
  int64_t num_runs = 1;
  std::function<void(int64_t run)> run;
  std::function<std::string()> check;  // empty, or what is wrong
};

// Makes a case when it is about to be measured, so that only one holds memory at a time.
using OpCaseFactory = std::function<OpCase(Backend&)>;

// The names of --op.
std::vector<std::string> OpNames();
// The cases of one op: shapes of Qwen2.5-0.5B and 7B, whole and sharded.
std::vector<OpCaseFactory> CasesOf(std::string_view op);

}  // namespace phalanx
