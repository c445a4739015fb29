// How many sequences may run at once, learnt from what steps take.
//
// A step of n decode rows takes about a + b * n, and the prompts that come with each decoded token
// take e. Where b + e is small next to a (weights that are read from memory once for all rows) more
// sequences are more throughput; where each row costs arithmetic they only make each other slower.
// A token takes max_slowdown times as long as alone at
//
//   n = (max_slowdown * (a + b) - a) / (b + e),
//
// and that is the limit, or max_slowdown sequences if those are more: prompts may be long and
// answers short. At a slowdown of 4 the group has three quarters or more of the most throughput
// that it could have, which is 1 / (b + e).
//
// The line goes through the medians of what steps without prefill took, one median for each number
// of rows, so a step that was held up does not matter. The older a median the less it weighs, and
// after kForget it is gone. e is the median of what a row of prefill adds to the line times the
// rows of prefill for each decoded token. What nobody has measured is found out step by step: the
// limit is at most half as much again as has run lately. That also frees a limit that has become
// too low: after kForget at one number of rows nothing else is known, and a few more may run.
//
// Pure: its clock is the time that steps took. Not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace phalanx {

struct StepTime {
  int32_t num_decodes = 0;  // sequences with one row
  int32_t num_rows = 0;     // these and the rows of prefill
  std::chrono::nanoseconds time{0};
};

class StepCost {
 public:
  static constexpr int32_t kNoLimit = std::numeric_limits<int32_t>::max();

  // 0: any; else at least 1.
  explicit StepCost(double max_slowdown);

  void Add(const StepTime& step);
  // Sequences that may run at once, at least one.
  int32_t limit() const { return limit_; }

 private:
  struct Sample {
    double seconds = 0;
    int32_t num_rows = 0;
    auto operator<=>(const Sample&) const = default;
  };
  // The newest ones.
  struct Samples {
    static constexpr size_t kMost = 15;

    std::array<Sample, kMost> newest{};
    size_t count = 0;  // ever
    Sample median;

    void Add(const Sample& sample);
  };
  // Steps of about so many decodes.
  struct Bucket {
    int32_t num_decodes = 0;  // in the last one
    int32_t num_steps = 0;
    std::chrono::nanoseconds last_step{0};    // when it ended, of elapsed_
    Samples decodes;                          // of steps without prefill
    std::chrono::nanoseconds last_sample{0};  // when it ended, of elapsed_
  };
  // What steps without prefill take.
  struct Line {
    double step_s = 0;
    double row_s = 0;  // > 0
  };

  static size_t BucketOf(int32_t num_decodes);
  void ForgetOld();
  void CountPrefill(const StepTime& step);
  // None: too little is known for one.
  std::optional<Line> Fit() const;
  double LimitBy(const Line& line) const;
  // The most sequences that were seen to run for a while.
  int32_t Reach() const;

  const double max_slowdown_;
  int32_t limit_;
  std::chrono::nanoseconds elapsed_{0};
  std::vector<Bucket> buckets_;
  std::optional<Line> line_;
  Samples prefill_;  // what one row added
  // Rows, of which older ones count less.
  double prefill_rows_ = 0;
  double decode_rows_ = 0;
};

}  // namespace phalanx
