// How long a backend's ops take, where somebody has asked.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phalanx {

enum class OpProfile : uint8_t { kOff, kOn };

struct OpTime {
  std::string name;
  int64_t calls = 0;
  double seconds = 0;  // of all calls
};

// The op under which a step's whole time is kept.
inline constexpr std::string_view kWholeStep = "step";

// "linear", or "linear model.layers.*.mlp.down_proj.weight": the same for all layers.
std::string OpName(std::string_view op, std::string_view weight);

class OpTimes {
 public:
  void Add(const std::string& name, double seconds);
  std::vector<OpTime> table() const;  // the longest first

 private:
  std::map<std::string, OpTime> times_;
};

// A line for each op, columns aligned: calls, total, mean, and the share of all steps where they
// were timed, else of all ops.
std::vector<std::string> FormatOpTimes(std::span<const OpTime> times);

// Times the block that it lives in by the host's clock, for ops that are over when they return.
class ScopedOpTime {
 public:
  // Does nothing where `times` is null.
  ScopedOpTime(OpTimes* times, std::string_view op, std::string_view weight = {})
      : times_(times), op_(op), weight_(weight) {
    if (times_ != nullptr) begin_ = Clock::now();
  }
  ~ScopedOpTime() {
    if (times_ == nullptr) return;
    times_->Add(OpName(op_, weight_), std::chrono::duration<double>(Clock::now() - begin_).count());
  }
  ScopedOpTime(const ScopedOpTime&) = delete;
  ScopedOpTime& operator=(const ScopedOpTime&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  OpTimes* times_;
  std::string_view op_;
  std::string_view weight_;
  Clock::time_point begin_{};
};

}  // namespace phalanx
